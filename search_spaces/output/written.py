"""Is an output what was planned? Asked of its module before it is written, and of its files before it has its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from search_spaces.architecture.reading import read_architecture
from search_spaces.architecture.whole import flaws_of
from search_spaces.errors import SpaceError, few_lines, shortened
from search_spaces.output.safetensors_writer import TensorSpec
from search_spaces.parents.checkpoint_files import open_safetensors, read_json


def check_planned(config: Mapping[str, Any], specs: Iterable[TensorSpec]) -> None:
    """Do nothing if planned tensors are what the module of a config needs.

    Raises:
        SpaceError: they are not, or there can be no such module.
    """
    planned = {spec.name: spec for spec in specs}
    shapes = {name: spec.shape for name, spec in planned.items()}
    whole_numbers = {name for name, spec in planned.items() if not spec.dtype.is_floating_point}
    flaws = flaws_of(read_architecture(config, shapes).needs, shapes, whole_numbers)
    if flaws:
        lines = ["the merge would be no whole checkpoint:", *(shortened(flaw) for flaw in flaws)]
        raise SpaceError(few_lines(lines))


def check_written(directory: Path, shards: Mapping[str, Sequence[TensorSpec]], index: str) -> None:
    """Do nothing if weight files, and the index where there are several, are those that were planned.

    Raises:
        SpaceError: they are not.
    """
    places = {spec.name: file for file, specs in shards.items() for spec in specs}
    for file, specs in shards.items():
        held = open_safetensors(directory / file)
        found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in held.items()}
        if found != {spec.name: (tuple(spec.shape), spec.dtype) for spec in specs}:
            raise SpaceError(f"{file}: expected the tensors that were written, found others; is the disk sound?")
    if len(shards) > 1 and read_json(directory / index)["weight_map"] != places:
        raise SpaceError(f"{index}: expected the shards that were written, found others; is the disk sound?")
