"""The structured search keeps the optimiser contract, and beats a flat search where numbers hang on choices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from evomerge.candidate import Evaluation, Failure
from evomerge.kinds import OptionsError
from evomerge.optimisers.cma.cma_es import CmaEsSearch
from evomerge.optimisers.discrete_variation import DiscreteVariation
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.structured.options import Structured
from evomerge.optimisers.structured.structured import StructuredSearch
from evomerge.seeds import stream
from evomerge.testing.optimiser_contract import Genome, OptimiserContract, evaluation, failure
from search_spaces.spaces.space import OFF, ON, Structure

WEIGHTS = {"left": 1.0, "right": 1.0}


def structure_of(dim: int, *, on: tuple[int, int] = (1, 100)) -> Structure:
    """Return indicators and as many numbers under them; what is left over is a choice of 3 and free numbers."""
    n = (dim - 2) // 2
    return Structure(dim, tuple(range(n)), (on[0], min(on[1], n)), {2 * n: 3}, {n + i: i for i in range(n)})


def make(dim: int, seed: int, **options: Any) -> StructuredSearch:
    return StructuredSearch(structure_of(dim), [np.full(dim, 0.6)], weights=WEIGHTS, seed=seed, **options)


class StructuredContract(OptimiserContract):
    factory = f"{__name__}:make"


class TestGeneticAlgorithm(StructuredContract):
    arguments: ClassVar = {"dim": 24, "seed": 0, "population": 9, "discrete": "ga"}


class TestOnePlusLambda(StructuredContract):
    arguments: ClassVar = {"dim": 25, "seed": 0, "population": 5, "number_share": 0.8}


def search(optimiser: Optimiser[Genome], value: Callable[[Genome], float], n: int) -> tuple[list[Genome], list[float]]:
    """Return all genomes and their values, told as they come."""
    genomes: list[Genome] = []
    values: list[float] = []
    while len(genomes) < n:
        first = len(genomes)
        genomes += optimiser.ask(1000)
        values += [value(genome) for genome in genomes[first:]]
        optimiser.tell([evaluation(i, genomes[i], a=values[i]) for i in range(first, len(genomes))])
    return genomes[:n], values[:n]


def conditional(n: int) -> tuple[Structure, Callable[[Genome], float]]:
    """Return n indicators with a number under each, and a value in which numbers count where their indicator is on."""
    wanted = stream(1, "wanted").random(n) < 0.5
    aims = stream(2, "aims").random(n)

    def value(genome: Genome) -> float:
        on, numbers = genome[:n] > 0.5, genome[n:]
        return float(np.mean(on == wanted) - np.mean(on * np.abs(numbers - aims)))

    return Structure(2 * n, tuple(range(n)), (1, n), under={n + i: i for i in range(n)}), value


@pytest.mark.parametrize("discrete", ["ga", "one_plus_lambda"])
def test_choices_and_numbers_are_found_sooner_than_by_a_flat_search(discrete: Any) -> None:
    structure, value = conditional(30)
    best, flat = [], []
    for seed in range(2):
        start = np.repeat([0.3, 0.5], 30)
        mine = StructuredSearch(structure, [start], weights={"a": 1.0}, seed=seed, discrete=discrete)
        best.append(max(search(mine, value, 500)[1]))
        flat.append(max(search(CmaEsSearch(60, weights={"a": 1.0}, seed=seed, x0=start), value, 500)[1]))
    assert min(best) > max(0.87, *flat)


def test_the_first_genome_is_the_start_with_its_choices_settled() -> None:
    start = np.linspace(0, 1, 12)
    first = StructuredSearch(structure_of(12, on=(0, 5)), [start], weights=WEIGHTS, seed=0).ask(1)[0]
    assert first.tolist() == [OFF] * 5 + start[5:10].tolist() + [2.5 / 3, 1.0]


def test_of_several_starts_as_many_as_fit_are_the_first_genomes() -> None:
    starts = [np.full(12, 0.2 + 0.1 * k) for k in range(9)]
    optimiser = StructuredSearch(structure_of(12, on=(0, 5)), starts, weights=WEIGHTS, seed=0, population=8)
    assert [genome[11] for genome in optimiser.ask(4)] == [start[11] for start in starts[:4]]


def test_numbers_without_effect_are_never_varied() -> None:
    structure = structure_of(22)
    optimiser = StructuredSearch(structure, [np.full(22, 0.2)], weights={"a": 1.0}, seed=3, population=12)
    genomes, _ = search(optimiser, lambda genome: -float(np.sum(genome[:4])), 240)
    same_choices: dict[bytes, list[Genome]] = {}
    for genome in genomes:
        same_choices.setdefault(genome[:10].tobytes() + genome[20:21].tobytes(), []).append(genome)
    sampled = max(same_choices.values(), key=len)
    inactive = [gene for gene, indicator in structure.under.items() if sampled[0][indicator] < 0.5]
    active = [*sorted({*range(10, 20)} - {*inactive}), 21]
    assert len(sampled) > 50
    assert np.ptp(np.array(sampled)[:, inactive], axis=0).max() == 0
    assert np.ptp(np.array(sampled)[:, active], axis=0).min() > 0


def test_choices_are_not_proposed_twice_while_there_are_others() -> None:
    structure = Structure(12, tuple(range(12)), (1, 12))
    optimiser = StructuredSearch(structure, [np.full(12, 0.2)], weights={"a": 1.0}, seed=0, population=8)
    genomes, _ = search(optimiser, lambda genome: float(genome[0]), 200)
    assert len({genome.tobytes() for genome in genomes}) == 200


@pytest.mark.parametrize("discrete", ["ga", "one_plus_lambda"])
def test_no_more_and_no_fewer_indicators_are_on_than_the_space_allows(discrete: Any) -> None:
    structure = Structure(12, tuple(range(12)), (2, 4))
    optimiser = StructuredSearch(structure, [np.full(12, 0.9)], weights={"a": 1.0}, seed=0, discrete=discrete)
    genomes, _ = search(optimiser, lambda genome: float(genome[:6].sum() - genome[6:].sum()), 150)
    on = (np.array(genomes) > 0.5).sum(axis=1)
    assert (on.min(), on.max()) == (2, 4)


def test_the_feasible_is_better_than_the_infeasible_whatever_their_values() -> None:
    structure = Structure(10, tuple(range(10)), (0, 10))
    optimiser = StructuredSearch(structure, [np.full(10, 0.2)], weights={"a": 1.0}, seed=0, discrete="one_plus_lambda")
    genomes: list[Genome] = []
    while len(genomes) < 300:
        first = len(genomes)
        genomes += optimiser.ask(1000)
        on = [int((genome > 0.5).sum()) for genome in genomes]
        told: list[Evaluation | Failure] = [
            replace(evaluation(i, genomes[i], a=float(on[i])), violation=float(max(0, on[i] - 5)))
            for i in range(first, len(genomes))
        ]
        optimiser.tell([failure(i, genomes[i]) if on[i] == 1 else t for i, t in enumerate(told, start=first)])
    last = np.array(on[-20:])
    assert max(on) > 5
    assert abs(last.mean() - 5) < 1.5


def test_crossover_takes_numbers_along_with_their_choices() -> None:
    structure = structure_of(42, on=(0, 20))
    variation = DiscreteVariation(structure, stream(0, "test"))
    one, other = variation.settled(np.full(42, 0.1)), variation.settled(np.full(42, 0.9))
    taken = []
    for _ in range(50):
        child = variation._crossed(one, other)
        assert [gene for gene in range(20) if (child[gene] == ON) != (child[20 + gene] == 0.9)] == []
        taken.append(int((child[:20] == ON).sum()))
        assert child[41] == 0.1
    assert 0 < np.mean(taken) < 20


def test_every_offspring_differs_in_its_choices_and_most_mutations_are_small() -> None:
    structure = structure_of(42, on=(0, 100))
    variation = DiscreteVariation(structure, stream(0, "test"))
    parent = variation.settled(np.full(42, 0.4))
    children = np.array([variation.offspring(parent) for _ in range(400)])
    discrete = [*structure.indicators, *structure.choices]
    changed = (children[:, discrete] != parent[discrete]).sum(axis=1)
    assert changed.min() == 1
    assert np.median(changed) <= 2
    assert changed.max() >= 8
    assert np.array_equal(children[:, 20:40], np.full((400, 20), 0.4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 3}, "a number of at least 4"),
        ({"discrete": "annealing"}, "one of ga, one_plus_lambda"),
        ({"number_share": 1.0}, "a number below 1"),
        ({"sigma0": True}, "a number"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=f"{next(iter(options))}: expected {message}"):
        Structured(**options)


def test_weights_that_make_no_mean_are_refused() -> None:
    with pytest.raises(OptimiserError, match="weights: expected"):
        StructuredSearch(structure_of(12), [np.full(12, 0.5)], weights={"a": 0.0}, seed=0)


def test_a_space_without_choices_is_refused() -> None:
    with pytest.raises(OptimiserError, match="expected a space with discrete genes"):
        StructuredSearch(Structure(3, (), (0, 0)), [np.full(3, 0.5)], weights=WEIGHTS, seed=0)


def test_a_start_outside_the_cube_is_refused() -> None:
    with pytest.raises(OptimiserError, match=r"starts: expected 12 numbers in \[0, 1\] each"):
        StructuredSearch(structure_of(12), [np.full(12, 1.5)], weights=WEIGHTS, seed=0)


def test_without_a_start_there_is_no_search() -> None:
    with pytest.raises(OptimiserError, match="starts: expected at least one"):
        StructuredSearch(structure_of(12), [], weights=WEIGHTS, seed=0)
