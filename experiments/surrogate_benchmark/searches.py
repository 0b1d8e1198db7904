"""Which searches there are, and one of them, in whatever process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import yaml

from experiments.surrogate_benchmark.emulator import Emulator, World
from experiments.surrogate_benchmark.kept import Key
from experiments.surrogate_benchmark.matrices import HERE, SOURCES
from experiments.surrogate_benchmark.runs import Given, Row, Setting, search
from search_spaces import WeightSpace

EMULATORS = HERE / "emulators"
SEARCHES: Mapping[str, Mapping[str, Any]] = yaml.safe_load((HERE / "searches.yaml").read_text(encoding="utf-8"))
BUDGETS = (40, 80, 160, 1000)
SETTINGS: tuple[Setting, ...] = ("mean", "front")
ITEMS = 60  # that a candidate answers, all tasks together


def searches(
    matrices: Sequence[str], settings: Sequence[Setting], names: Sequence[str], budgets: Sequence[int], *, n_seeds: int
) -> Iterator[Key]:
    """Yield what names each search, seed by seed; `searches.yaml` says what each is for, and what takes too long."""
    for seed in range(n_seeds):
        for matrix in matrices:
            for setting in settings:
                for name in names:
                    sections = SEARCHES[name]
                    for evaluations in budgets if setting in sections["of"] else ():
                        if evaluations <= sections.get("most", evaluations):
                            yield matrix, setting, name, seed, evaluations


def one_search(wanted: Key) -> Row:
    """Run the search of a name."""
    matrix, setting, name, seed, evaluations = wanted
    given = Given(matrix, _space(matrix), setting, ITEMS)
    sections = {section: options for section, options in SEARCHES[name].items() if section in ("optimiser", "schedule")}
    return search(given, _world(matrix, seed), seed, name=name, sections=sections, evaluations=evaluations)


@cache
def _space(matrix: str) -> WeightSpace:
    return SOURCES[matrix].space


@lru_cache(maxsize=2)
def _world(matrix: str, seed: int) -> World:
    import torch

    torch.set_num_threads(1)
    return Emulator.load(EMULATORS / f"{matrix}.npz").world(seed)
