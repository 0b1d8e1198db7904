"""M2N2 keeps the optimiser contract as a steady-state search does, and its population is what the paper says."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from evomerge.candidate import Candidate, Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.niches.m2n2 import M2N2Search
from evomerge.optimisers.niches.niches import Competition
from evomerge.testing.optimiser_contract import (
    RECIPE,
    Make,
    OptimiserContract,
    build,
    drive,
    equal,
    failure,
    infeasible,
    outcomes_of,
)
from fitness.scores import Estimate, ItemScores
from search_spaces.spaces.niches.individual import Individual
from tests.evomerge.optimisers.niches.breeding import genealogies, stored
from tests.evomerge.toy_niches import LAYOUT, toy_crossover

GOLDEN = Path(__file__).parents[1] / "golden" / "m2n2.json"


class SteadyState(OptimiserContract):
    """What it learns from is the order in which outcomes come, so some promises hold between two tells only."""

    generational = False

    def test_the_ith_proposal_does_not_depend_on_the_sizes_of_asks(self, make: Make) -> None:
        one, other = make(), make()
        for optimiser in (one, other):
            optimiser.tell(outcomes_of(optimiser.ask(2), first=0))
        chunks = [genome for n in (1, 13, 0, 6) for genome in other.ask(n)]
        assert equal(list(one.ask(20)), chunks)

    def test_completion_order_does_not_matter(self, make: Make) -> None:
        """Any order is accepted, and the same order gives the same search."""
        rng = np.random.default_rng(0)
        one, other = make(), make()
        told = 0
        for _ in range(10):
            genomes = list(one.ask(7))
            assert equal(genomes, list(other.ask(7)))
            outcomes = outcomes_of(genomes, first=told, fail_every=5)
            outcomes = [outcomes[i] for i in rng.permutation(len(outcomes))]
            one.tell(outcomes)
            other.tell(outcomes)
            told += len(genomes)

    def test_outcomes_told_one_by_one_or_together_are_the_same(self, make: Make) -> None:
        together, singly = make(), make()
        told = 0
        for _ in range(5):
            genomes = list(together.ask(30))
            assert equal(genomes, list(singly.ask(30)))
            outcomes = outcomes_of(genomes, first=told)
            together.tell(outcomes)
            for outcome in outcomes:
                singly.tell([outcome])
            told += len(genomes)

    def test_infeasible_evaluations_are_learnt_from_also_where_nothing_is_feasible(self, make: Make) -> None:
        optimiser, told = make(), 0
        for _ in range(12):
            new = optimiser.ask(10)
            optimiser.tell(
                [infeasible(told + i, g, violation=1e-3 + float(np.asarray(g)[0])) for i, g in enumerate(new)]
            )
            told += len(new)
        assert len(optimiser.ask(1)) == 1

    def test_another_seed_gives_other_genomes(self, make: Make) -> None:
        """All but the parents, which come first."""
        other = build(self.factory, {**self.arguments, "seed": self.arguments["seed"] + 1})
        first, second = drive(make(), 5), drive(other, 5)
        assert equal(first[:2], second[:2])
        assert not equal(first[2:], second[2:])

    def test_genomes_cannot_be_changed_from_outside(self, make: Make) -> None:
        optimiser = make()
        optimiser.tell(outcomes_of(optimiser.ask(2), first=0))
        for genome in optimiser.ask(4):
            with pytest.raises((ValueError, AttributeError, TypeError)):
                genome[:] = 0


class TestM2N2OfStoredWeights(SteadyState):
    factory = "tests.evomerge.optimisers.niches.breeding:stored"
    arguments: ClassVar = {"dim": 5, "seed": 0, "population": 6, "mutation": 0.01}

    def test_genomes_are_float64_vectors_in_the_unit_cube(self, make: Make) -> None:
        """They are float32 vectors of weights."""
        genomes = np.array(make().ask(2))
        assert (genomes.dtype, genomes.shape) == (np.float32, (2, 5))


class TestM2N2OfGenealogies(SteadyState):
    factory = "tests.evomerge.optimisers.niches.breeding:genealogies"
    arguments: ClassVar = {"dim": 100, "seed": 0, "population": 6}

    def test_genomes_are_float64_vectors_in_the_unit_cube(self, make: Make) -> None:
        """They are individuals."""
        assert all(isinstance(genome, Individual) and genome.size == 100 for genome in make().ask(2))


def outcome(proposal: int, genome: Any, scores: Sequence[float], violation: float = 0.0) -> Evaluation:
    items = ItemScores(tuple(f"task/{i}" for i in range(len(scores))), np.array(scores, dtype=np.float64))
    candidate = Candidate(proposal, RECIPE, None, proposal, genome)
    return Evaluation(candidate, Estimate("search", ()), items, violation)


def told(
    *rows: Sequence[float], population: int = 3, violations: Sequence[float] = (), **options: Any
) -> M2N2Search[Any]:
    """Return an optimiser that was told a row of item scores for each of its first proposals."""
    optimiser = stored(dim=8, seed=0, population=population, **options)
    violations = list(violations) or [0.0] * len(rows)
    for number, (row, violation) in enumerate(zip(rows, violations, strict=True)):
        (genome,) = optimiser.ask(1)
        optimiser.tell([outcome(number, genome, row, violation)])
    return optimiser


def proposals(optimiser: M2N2Search[Any]) -> list[int]:
    return [member.proposal for member in optimiser.members]


def test_first_come_the_parents_and_children_wait_for_all_of_them() -> None:
    optimiser = genealogies(dim=100, seed=0, population=5)
    parents = optimiser.ask(7)
    assert [parent.coefficients.tolist() for parent in parents] == [[[1.0, 0.0]], [[0.0, 1.0]]]
    optimiser.tell([outcome(1, parents[1], [1, 0])])
    assert optimiser.ask(3) == []
    optimiser.tell([outcome(0, parents[0], [0, 1])])
    assert len(optimiser.ask(3)) == 3


def test_the_worst_leaves_with_the_child_counted_in() -> None:
    """Member 1 shares its only item with the child, so that member 2, alone on its item, survives it."""
    optimiser = told([1, 1, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 1, 1, 0])
    assert proposals(optimiser) == [0, 3, 2]


def test_a_child_that_is_the_worst_does_not_join() -> None:
    assert proposals(told([1, 1, 0], [0, 1, 1], [1, 0, 1], [0, 0, 0])) == [0, 1, 2]


def test_on_ties_the_oldest_place_is_given_up() -> None:
    assert proposals(told([1, 0], [1, 0], [1, 0], [1, 0])) == [3, 1, 2]


def test_without_competition_the_fewest_correct_items_leave() -> None:
    rows = [1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1], [1, 1, 1, 0]
    assert proposals(told(*rows, alpha=0.0)) == [0, 1, 3]


def test_failures_never_join() -> None:
    optimiser = told([1, 0], [0, 1])
    optimiser.tell([failure(2, optimiser.ask(1)[0])])
    assert proposals(optimiser) == [0, 1]


def test_the_one_that_misses_constraints_most_leaves_first() -> None:
    rows = [1, 1, 1], [1, 1, 1], [1, 0, 0], [0, 0, 0]
    assert proposals(told(*rows, violations=[0.0, 0.2, 0.1, 0.0])) == [0, 3, 2]
    assert proposals(told(*rows, violations=[0.2, 0.2, 0.2, 0.3])) == [0, 1, 2]
    assert proposals(told(*rows, violations=[0.3, 0.3, 0.3, 0.2])) == [0, 1, 3]


def test_items_with_negative_scores_count_from_their_lowest() -> None:
    shifted = told([-1.0, 3.0], [-3.0, 4.0], [-2.0, 3.0], [-1.0, 4.0])
    assert proposals(shifted) == proposals(told([2.0, 3.0], [0.0, 4.0], [1.0, 3.0], [2.0, 4.0]))


def test_other_items_than_before_are_an_error_and_change_nothing() -> None:
    optimiser = told([1, 0], [0, 1])
    child, other = optimiser.ask(2)
    with pytest.raises(OptimiserError, match=r"expected the scores of candidate 3 to be of the same 2 items.*found 3"):
        optimiser.tell([outcome(2, child, [1, 1]), outcome(3, other, [1, 1, 1])])
    optimiser.tell([outcome(2, child, [1, 1]), outcome(3, other, [1, 0])])
    assert proposals(optimiser) == [3, 1, 2]


def test_when_all_parents_but_one_fail_the_parents_are_crossed_all_the_same() -> None:
    optimiser = genealogies(dim=100, seed=0, population=5)
    first, second = optimiser.ask(2)
    optimiser.tell([failure(0, first), outcome(1, second, [1, 0])])
    assert all((child.coefficients[:, 0] != 0).any() for child in optimiser.ask(5))


def test_a_search_finds_individuals_that_combine_what_the_parents_can() -> None:
    """Each parent does the items of one half of the parameters; niches keep both, and a split joins them."""
    optimiser = genealogies(dim=100, seed=0, population=10)
    best = 0.0
    for number in range(300):
        (individual,) = optimiser.ask(1)
        per_parameter = individual.refined(np.arange(LAYOUT.size + 1))
        wanted = np.where(np.arange(LAYOUT.size) < 50, per_parameter[:, 0], per_parameter[:, 1])
        scores = (wanted.reshape(20, 5).min(axis=1) > 0.9).astype(float)
        optimiser.tell([outcome(number, individual, scores.tolist())])
        best = max(best, float(scores.mean()))
    assert best > 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 1}, "population: expected at least 2, found 1"),
        ({"alpha": -0.5}, "alpha: expected a number of at least 0, found -0.5"),
        ({"eps": float("nan")}, "eps: expected a number of at least 0, found nan"),
        ({"capacity": "min"}, "capacity: expected one of 1, max, found 'min'"),
        ({"attraction": False}, "attraction: expected one of with_alpha, without_alpha, none, found False"),
        ({"fallback": "best"}, "fallback: expected one of random, fitness, found 'best'"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptimiserError, match=message):
        stored(**{"dim": 5, "seed": 0, "population": 4, **options})


def golden_run() -> list[dict[str, Any]]:
    """Return 40 individuals of a search whose scores are bits of their own coefficients."""
    optimiser = M2N2Search(toy_crossover(), seed=7, population=8, competition=Competition(capacity="max"))
    run: list[dict[str, Any]] = []
    while len(run) < 40:
        new = optimiser.ask(3)
        outcomes: list[Outcome] = []
        for genome in new:
            number = len(run)
            shares = genome.refined(np.arange(LAYOUT.size + 1))[::10]
            bad = number % 7 == 3
            scores = np.round(np.abs(np.sin(3 * shares[:, 0]) * shares[:, 1]), 3).tolist()
            outcomes.append(failure(number, genome) if bad else outcome(number, genome, scores))
            run.append({"boundaries": genome.boundaries.tolist(), "coefficients": genome.coefficients.tolist()})
        optimiser.tell(outcomes[::-1])
    return run


def test_a_golden_run_is_repeated() -> None:
    """Boundaries exactly; coefficients exactly where the run was recorded, and to rounding elsewhere."""
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    run = golden_run()
    assert [each["boundaries"] for each in run] == [each["boundaries"] for each in golden["run"]]
    here = {"machine": platform.machine(), "numpy": np.__version__}
    for each, recorded in zip(run, golden["run"], strict=True):
        if here == golden["platform"]:
            assert each["coefficients"] == recorded["coefficients"]
        assert np.array(each["coefficients"]) == pytest.approx(np.array(recorded["coefficients"]), abs=1e-12)
