"""Statistics as a pass over prompts leaves them, of random numbers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import cast, get_args

from evomerge.testing.operator_contract import random_statistic
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import locate
from search_spaces.statistics.store import Kind, StatisticsStore, together

OF_ALL_TENSORS = ("fisher", "moments", "sensitivity")


def write_statistics(
    parents: Parents, directory: Path, kinds: Iterable[str] = get_args(Kind)
) -> tuple[StatisticsStore, dict[str, str]]:
    """Write every parent's; return the store, and parent -> digest for a recipe. Grams are those of layers' matrices.

    q, k and v, and gate and up, share what is alike.
    """
    store, digests = StatisticsStore(directory), {name: f"digest-of-{name}" for name in sorted(parents.checkpoints)}
    for i, (parent, digest) in enumerate(digests.items()):
        for kind in kinds:
            tensors, shares = {}, {}
            for name in parents[parent].names:
                shape = parents[parent].shape(name)
                found = random_statistic(i, kind, shape)
                if found is not None and (kind in OF_ALL_TENSORS or locate(name).layer is not None):
                    place = f"{kind} {name.rsplit('.', 2)[0]} {tuple(found.shape)}"
                    key = name if kind in OF_ALL_TENSORS else place
                    tensors[key], shares[name] = found, key
            store.write(digest, cast("Kind", kind), tensors, shares, together(digests.values()))
    return store, digests
