"""Files of mergekit's other programs, told apart from a merge's configuration by their keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.operators.registry import OPERATORS

_MOE = ("experts", "gate_mode", "experts_per_token", "shared_experts")


def refuse_other_files(data: Mapping[Any, Any]) -> None:
    """Do nothing for a merge's configuration; raise a `SpaceError` that names the program whose file it is."""
    moe = [key for key in _MOE if key in data]
    if moe and data.get("merge_method") not in OPERATORS:
        raise SpaceError(
            f"this is a mergekit-moe file ({', '.join(moe)}): not supported; evomerge makes models of their parents' "
            "own shape. `merge_method` with the experts under `models` merges them into one dense model"
        )
    if "genome" in data:
        raise SpaceError(
            "this is a mergekit-evolve file (genome): a search, not one merge; `evomerge init --from FILE` writes a "
            "campaign of it"
        )
    if "layer_slices" in data:
        raise SpaceError(
            "this is a bakllama file (layer_slices): not supported; write `merge_method: passthrough` with `slices` of "
            "`sources: [{model: ..., layer_range: [start, end]}]`"
        )
