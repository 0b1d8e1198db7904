"""Which searches there are, and one of them, in whatever process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import yaml

from experiments.surrogate_benchmark.emulator import Emulator
from experiments.surrogate_benchmark.kept import Key
from experiments.surrogate_benchmark.matrices import HERE, SOURCES
from experiments.surrogate_benchmark.runs import Given, Row, Setting, search

EMULATORS = HERE / "emulators"
SEARCHES: Mapping[str, Mapping[str, Any]] = yaml.safe_load((HERE / "searches.yaml").read_text(encoding="utf-8"))
BUDGETS = (40, 80, 160, 1000)
SETTINGS: tuple[Setting, ...] = ("mean", "front")
ITEMS = 60  # that a candidate answers, all tasks together


def searches(
    matrices: Sequence[str], settings: Sequence[Setting], names: Sequence[str], budgets: Sequence[int], *, n_seeds: int
) -> Iterator[Key]:
    """Yield what names each search; `searches.yaml` says what a search is for, and which take too long."""
    for matrix in matrices:
        for setting in settings:
            for name in names:
                sections = SEARCHES[name]
                for evaluations in budgets if setting in sections["of"] else ():
                    if evaluations <= sections.get("most", evaluations):
                        seeds = min(n_seeds, sections.get("seeds", n_seeds))
                        yield from ((matrix, setting, name, seed, evaluations) for seed in range(seeds))


def one_search(wanted: Key) -> Row:
    """Run the search of a name."""
    matrix, setting, name, seed, evaluations = wanted
    emulator, given = _emulated(matrix, setting)
    sections = {section: options for section, options in SEARCHES[name].items() if section in ("optimiser", "schedule")}
    return search(given, emulator.world(seed), seed, name=name, sections=sections, evaluations=evaluations)


@cache
def _emulated(matrix: str, setting: Setting) -> tuple[Emulator, Given]:
    import torch

    torch.set_num_threads(1)
    return Emulator.load(EMULATORS / f"{matrix}.npz"), Given(matrix, SOURCES[matrix].space, setting, ITEMS)
