"""One pass of each parent over what it reads, and what comes of it, in the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from search_spaces.statistics.store import StatisticsStore

if TYPE_CHECKING:
    from torch import nn

    from evomerge.assembly.statistics import Gathering
    from search_spaces.layers.architecture import Part
    from search_spaces.statistics.store import Kind


def collect(
    given: Gathering, digests: Mapping[str, str], lacking: Mapping[str, tuple[Kind, ...]], owners: Mapping[str, str]
) -> None:
    """Collect what the store lacks, parent by parent; what needs all parents together, last."""
    for name, kinds in lacking.items():
        if "gram" in kinds:
            _collect_grams(given, name, digests[name], owners)


def _collect_grams(given: Gathering, name: str, digest: str, owners: Mapping[str, str]) -> None:
    from search_spaces.statistics.grams import write_grams

    reader, model, stored = given.reader(name, owners), given.become(name), given.parents[name].names
    with StatisticsStore().writing(digest, "gram", 2 * len(stored)) as file:
        sharing = write_grams(model, reader, weights=stored_parts(model, stored), write=file.add)
        file.shares.update(sharing.shares)
        file.input_first.update(sharing.input_first)


def stored_parts(model: nn.Module, stored: Iterable[str]) -> dict[str, tuple[Part, ...]]:
    """Return parameter -> the tensors in it, as a checkpoint names them: with the wrapper's prefix or without."""
    from search_spaces.layers.architecture import checkpoint_parts

    prefix = f"{getattr(model, 'base_model_prefix', '')}."
    called = {key: name for name in stored for key in (name.removeprefix(prefix), prefix + name, name)}
    return {
        weight: tuple(replace(part, name=called.get(part.name, part.name)) for part in parts)
        for weight, parts in checkpoint_parts(model, model.state_dict()).items()
    }
