"""One pass of each parent over what it reads, and what comes of it, in the store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from search_spaces.statistics.store import StatisticsStore

if TYPE_CHECKING:
    from evomerge.assembly.statistics import Gathering
    from search_spaces.statistics.store import Kind


def collect(
    given: Gathering, digests: Mapping[str, str], lacking: Mapping[str, tuple[Kind, ...]], owners: Mapping[str, str]
) -> None:
    """Collect what the store lacks, parent by parent; what needs all parents together, last."""
    from search_spaces.layers.architecture import checkpoint_parts
    from search_spaces.statistics.grams import collect_grams

    store = StatisticsStore()
    for name, kinds in lacking.items():
        if "gram" in kinds:
            reader = given.reader(name, owners)
            model = given.become(name)
            grams = collect_grams(model, reader, weights=checkpoint_parts(model, model.state_dict()))
            store.write(digests[name], "gram", grams.tensors, grams.shares)
