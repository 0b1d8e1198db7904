"""Nested MAP keeps the optimiser contract, pairs as it says, and ends near the preferred merge."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.map.nested_pareto import NestedPareto
from evomerge.optimisers.map.surrogates.predicted_front import FrontSearch
from evomerge.testing.optimiser_contract import Genome, OptimiserContract, evaluation

QUICK = FrontSearch(population=12, generations=4)


def quick_nested(dim: int, seed: int, **arguments: Any) -> NestedPareto:
    preference = {"left": 1.0, "right": 1.0}
    return NestedPareto([(0.0, 1.5)] * dim, **{"preference": preference, "search": QUICK, "seed": seed, **arguments})


class TestNestedPareto(OptimiserContract):
    factory = "tests.evomerge.optimisers.map.test_nested_pareto:quick_nested"
    arguments: ClassVar = {"dim": 3, "seed": 0, "per_pair": 12}

    def test_another_seed_gives_other_genomes(self, make: Any) -> None:
        genomes = [
            np.array(search(quick_nested(3, seed), lambda g: {"left": 0.5, "right": 0.5}, 20)) for seed in (0, 1)
        ]
        assert not np.array_equal(*genomes)


def search(optimiser: NestedPareto, values: Any, n: int) -> list[Genome]:
    genomes: list[Genome] = []
    while len(genomes) < n:
        new = optimiser.ask(min(8, n - len(genomes)))
        optimiser.tell([evaluation(len(genomes) + i, g, **values(g)) for i, g in enumerate(new)])
        genomes += new
    return genomes


BEST = np.array([0.9, 0.5, 0.7, 0.4])


def four_tasks(genome: Genome) -> dict[str, float]:
    """Task k needs weight k near BEST[k] and suffers a little from the others' weights."""
    weights = 1.5 * genome
    found: NDArray[np.float64] = expit(1.5 - 4 * (weights - BEST) ** 2 - 0.3 * (weights.sum() - weights))
    return {f"task{k}": float(value) for k, value in enumerate(found)}


def test_four_parents_take_three_pairs_and_end_near_the_preferred_merge() -> None:
    preference = {f"task{k}": 1.0 for k in range(4)}
    genomes = search(NestedPareto([(0.0, 1.5)] * 4, preference=preference, seed=0), four_tasks, 4 + 3 * 20)
    means = [np.mean(list(four_tasks(genome).values())) for genome in genomes]
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 4), axis=-1).reshape(-1, 4)
    best = max(np.mean(list(four_tasks(genome).values())) for genome in grid)
    assert max(means[-20:]) > 0.94 * best  # each pair is chosen without knowing how the others will interfere
    assert max(means[-20:]) > 1.2 * max(means[:4])
    mixed = [np.count_nonzero(genome) for genome in genomes]
    assert set(mixed[:4]) == {1}
    assert max(mixed[4:44]) == 2
    assert max(mixed[44:]) == 4


def test_a_pair_is_frozen_in_proportion_at_the_next_level() -> None:
    preference = {f"task{k}": 1.0 for k in range(4)}
    genomes = search(NestedPareto([(0.0, 1.5)] * 4, preference=preference, seed=0), four_tasks, 4 + 3 * 20)
    last = np.array(genomes[44:])
    assert np.linalg.matrix_rank(last, tol=1e-6) == 2  # the two pairs' factors are all that moves
    assert np.linalg.matrix_rank(np.array(genomes[4:44]), tol=1e-6) == 4


def test_the_closest_parents_are_paired_first() -> None:
    alone = {"task0": 0.9, "task1": 0.5, "task2": 0.88, "task3": 0.45}

    def values(genome: Genome) -> dict[str, float]:
        return {name: alone[name] if genome[k] > 0 else 0.1 for k, name in enumerate(alone)}

    genomes = search(
        NestedPareto([(0.0, 1.5)] * 4, preference=dict.fromkeys(alone, 1.0), seed=0, search=QUICK), values, 4 + 8
    )
    pairs = {tuple(np.flatnonzero(genome).tolist()) for genome in genomes[4:] if np.count_nonzero(genome) == 2}
    assert pairs == {(0, 2)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 1}, "parents: expected at least 2 to pair, found 1"),
        ({"preference": {"left": -1.0}}, "weights: expected numbers of at least 0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptimiserError, match=message):
        quick_nested(**{"dim": 3, "seed": 0, **arguments})
    with pytest.raises(OptimiserError, match="bounds that hold 0"):
        NestedPareto([(0.1, 1.0)] * 3, preference={"a": 1.0}, seed=0)
