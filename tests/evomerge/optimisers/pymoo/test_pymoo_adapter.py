"""pymoo's algorithms keep the optimiser contract, are pymoo's own search, and approach known fronts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.indicators.hv import HV
from pymoo.optimize import minimize

from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.pymoo.pymoo_adapter import PymooOptimiser
from evomerge.optimisers.random_search import RandomSearch
from evomerge.seeds import stream_seed
from evomerge.testing.optimiser_contract import Genome, OptimiserContract, evaluation, failure

ARGUMENTS: dict[str, Any] = {"dim": 3, "n_objectives": 2, "seed": 0, "population": 10}


class PymooContract(OptimiserContract):
    factory = "evomerge.optimisers.pymoo.pymoo_adapter:PymooOptimiser"


class TestNsga2(PymooContract):
    arguments: ClassVar = ARGUMENTS


class TestNsga2WithOneGeneOddSizesAndOptions(PymooContract):
    arguments: ClassVar = {
        **ARGUMENTS,
        "dim": 1,
        "population": 7,
        "options": {"n_offsprings": 3, "crossover": {"eta": 5, "prob": 0.7}, "mutation": {"eta": 10, "prob": 0.5}},
    }


class TestNsga3(PymooContract):
    arguments: ClassVar = {**ARGUMENTS, "algorithm": "nsga3"}


class TestMoeaDOneByOne(PymooContract):
    arguments: ClassVar = {"dim": 3, "n_objectives": 2, "seed": 0, "algorithm": "moead"}


class TestDifferentialEvolution(PymooContract):
    arguments: ClassVar = {**ARGUMENTS, "algorithm": "de"}


def zdt1(genome: Genome) -> tuple[float, float]:
    """Return Zitzler, Deb and Thiele's ZDT1, maximised: the front is (1 - x, sqrt(x)), of hypervolume 2/3 over 0."""
    x = genome[0]
    g = 1 + 9 * float(np.mean(genome[1:]))
    return 1 - float(x), 1 - g * (1 - math.sqrt(x / g))


Values = Callable[[Genome], tuple[float, ...]]


def search(
    optimiser: PymooOptimiser | RandomSearch, values: Values, n: int
) -> tuple[list[Genome], NDArray[np.float64]]:
    """Return all genomes and values; a genome with a NaN among its values is told as a failure."""
    genomes: list[Genome] = []
    found: list[tuple[float, ...]] = []
    while len(genomes) < n:
        first = len(genomes)
        generation = optimiser.ask(24)
        genomes += generation
        found += [values(genome) for genome in generation]
        optimiser.tell(
            [
                failure(i, genomes[i])
                if np.isnan(found[i]).any()
                else evaluation(i, genomes[i], **{f"o{k}": value for k, value in enumerate(found[i])})
                for i in range(first, len(genomes))
            ]
        )
    return genomes, np.array(found)


@pytest.mark.parametrize("algorithm", ["nsga2", "spea2", "sms_emoa"])
def test_it_approaches_the_front_of_zdt1(algorithm: str) -> None:
    hypervolume = HV(ref_point=np.zeros(2))
    _, values = search(PymooOptimiser(5, n_objectives=2, seed=0, algorithm=algorithm), zdt1, 2400)
    _, drawn = search(RandomSearch(5, seed=0), zdt1, 2400)
    assert hypervolume(-values) > 0.62  # of 2/3
    assert hypervolume(-drawn) < 0.4


def test_it_maximises_a_single_objective() -> None:
    genomes, values = search(
        PymooOptimiser(4, n_objectives=1, seed=0), lambda g: (-float(np.sum((g - 0.3) ** 2)),), 2400
    )
    assert genomes[int(values.argmax())] == pytest.approx([0.3] * 4, abs=0.02)


def test_nsga2_is_pymoos_own_search() -> None:
    seen: list[Genome] = []

    class Zdt1(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=4, n_obj=2, xl=0.0, xu=1.0)

        def _evaluate(self, x: NDArray[np.float64], out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            seen.extend(x)
            out["F"] = -np.array([zdt1(genome) for genome in x])

    minimize(Zdt1(), NSGA2(pop_size=12), ("n_gen", 10), seed=stream_seed(5, "nsga2"))
    genomes, _ = search(PymooOptimiser(4, n_objectives=2, seed=5, population=12), zdt1, 120)
    assert np.array_equal(genomes, seen)


def test_the_first_generation_begins_with_the_starts() -> None:
    plain = PymooOptimiser(3, n_objectives=2, seed=0, population=10)
    started = PymooOptimiser(3, n_objectives=2, seed=0, population=10, starts=[[0.5, 0.5, 0.5], [1.0, 0.0, 0.25]])
    genomes = np.array(started.ask(10))
    assert genomes[:2].tolist() == [[0.5, 0.5, 0.5], [1.0, 0.0, 0.25]]
    assert np.array_equal(genomes[2:], np.array(plain.ask(10))[2:])


@pytest.mark.parametrize("starts", [[[0.5, 0.5]], [[0.5, 0.5, 1.5]], [[0.5] * 3] * 11])
def test_starts_outside_the_cube_or_too_many_are_refused(starts: list[list[float]]) -> None:
    with pytest.raises(OptimiserError, match="starts: expected at most 10 genomes of 3 numbers"):
        PymooOptimiser(**ARGUMENTS, starts=starts)


def test_failures_never_survive_beside_enough_evaluations() -> None:
    """Where genes above 0.5 fail, breeding from what works keeps most of the later genomes below."""
    _, values = search(
        PymooOptimiser(2, n_objectives=2, seed=0), lambda g: (math.nan, 0.0) if g[1] > 0.5 else zdt1(g), 960
    )
    failed = np.isnan(values[:, 0])
    assert 8 <= failed[:24].sum() <= 16
    assert failed[-240:].mean() < 0.1


def test_it_recovers_from_a_first_generation_that_failed_as_a_whole() -> None:
    asked = 0

    def values(genome: Genome) -> tuple[float, float]:
        nonlocal asked
        asked += 1
        return (math.nan, math.nan) if asked <= 48 else zdt1(genome)

    _, found = search(PymooOptimiser(3, n_objectives=2, seed=0), values, 1500)
    assert HV(ref_point=np.zeros(2))(-found[48:]) > 0.6


def test_when_breeding_only_makes_duplicates_random_genomes_take_their_place() -> None:
    options = {"crossover": {"prob": 0.0}, "mutation": {"prob": 0.0}}
    genomes, _ = search(PymooOptimiser(2, n_objectives=2, seed=0, population=6, options=options), zdt1, 60)
    assert len({genome.tobytes() for genome in genomes}) == 60


def test_options_change_the_search() -> None:
    plain, _ = search(PymooOptimiser(3, n_objectives=2, seed=0), zdt1, 48)
    options = {"mutation": {"eta": 5}}
    other, _ = search(PymooOptimiser(3, n_objectives=2, seed=0, options=options), zdt1, 48)
    assert np.array_equal(plain[:24], other[:24])
    assert not np.array_equal(plain[24:], other[24:])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim: expected at least 1, found 0"),
        ({"n_objectives": 0}, "n_objectives: expected at least 1, found 0"),
        ({"population": 1}, "population: expected at least 2, found 1"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptimiserError, match=message):
        PymooOptimiser(**{**ARGUMENTS, **arguments})


def test_the_smallest_population_works() -> None:
    _, values = search(PymooOptimiser(1, n_objectives=1, seed=0, population=2), lambda g: (float(g[0]),), 200)
    assert values.max() > 0.99


@pytest.mark.parametrize("objectives", [{"a": 1.0}, {"a": math.nan, "b": 1.0}])
def test_an_evaluation_without_finite_values_is_an_error_and_changes_nothing(objectives: dict[str, float]) -> None:
    optimiser = PymooOptimiser(**ARGUMENTS)
    (genome,) = optimiser.ask(1)
    with pytest.raises(OptimiserError, match="objectives: expected 2 finite values for candidate 0"):
        optimiser.tell([evaluation(0, genome, **objectives)])
    optimiser.tell([evaluation(0, genome)])
