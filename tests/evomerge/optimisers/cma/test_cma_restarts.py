"""The runs of CMA-ES follow IPOP and BIPOP as published."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pytest

from evomerge.optimisers.cma.cma_restarts import Restarts, Run

Names = Literal["same", "ipop", "bipop"]


def restarts(strategy: Names, factor: int | None = None) -> Restarts:
    return Restarts(strategy, population=10, sigma0=0.2, factor=factor, rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("strategy", "factor", "expected"),
    [
        ("same", None, [10, 10, 10, 10]),
        ("ipop", None, [10, 20, 40, 80]),
        ("ipop", 3, [10, 30, 90, 270]),
        ("same", 2, [10, 20, 40, 80]),
    ],
)
def test_the_population_is_multiplied_at_each_restart(strategy: Names, factor: int | None, expected: list[int]) -> None:
    runs = restarts(strategy, factor)
    assert [runs.next_run(100) for _ in range(4)] == [Run(population, 0.2) for population in expected]


def test_bipop_spends_as_much_on_small_runs_as_on_large_ones() -> None:
    runs = restarts("bipop")
    history: list[tuple[Run, int]] = []
    used = 0
    for _ in range(40):
        run = runs.next_run(used)
        # A large run costs in proportion to its population; a small one ends by its limit or earlier.
        used = 50 * run.population if run.evaluations is None else min(30 * run.population, math.ceil(run.evaluations))
        history.append((run, used))
    large = [(run, used) for run, used in history[1:] if not run.small]
    small = [(run, used) for run, used in history[1:] if run.small]
    assert [run.population for run, _ in large] == [10 * 2 ** (i + 1) for i in range(len(large))]
    assert all(run.sigma0 == 0.2 for run, _ in large)
    # Before the last run began, neither regime was ahead by more than one large run.
    spent = [sum(used for _, used in regime) for regime in (large, small)]
    assert abs(spent[0] - spent[1]) <= large[-1][1]
    assert len(small) > len(large) > 2
    last_large, n_large = 0, 0
    for run, evaluations in history:
        if run.small:
            assert run.evaluations == last_large / 2
            assert 10 <= run.population <= max(10, 10 * 2**n_large / 2)
            assert 0.002 <= run.sigma0 <= 0.2
        else:
            last_large, n_large = evaluations, n_large + (run is not history[0][0])
    assert len({run.sigma0 for run, _ in small}) == len(small)


def test_the_first_restart_of_bipop_is_a_large_run_and_the_next_is_small() -> None:
    runs = restarts("bipop")
    assert runs.next_run(0) == Run(10, 0.2)
    assert runs.next_run(500) == Run(20, 0.2)
    small = runs.next_run(900)
    assert small.small
    assert small.evaluations == 450
    assert small.population == 10
