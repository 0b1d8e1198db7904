"""Bayesian optimisation keeps the contract as a steady-state search, and finds what is there to be found."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from evomerge.candidate import Candidate, Evaluation, Outcome
from evomerge.optimisers.bayes.effort import Effort
from evomerge.optimisers.bayes.knowledge import Questions
from evomerge.optimisers.random_search import RandomSearch
from evomerge.optimisers.terrain import NotesInMemory
from evomerge.testing.optimiser_contract import (
    RECIPE,
    Make,
    OptimiserContract,
    equal,
    failure,
    infeasible,
    outcomes_of,
)
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate
from search_spaces.spaces.space import Structure
from tests.evomerge.optimisers.bayes.quick import least, numbers, plain, scored, search

Floats = NDArray[np.float64]


class TestBayesSearch(OptimiserContract):
    """It never waits, so what it proposes depends on what it was told before, in any order."""

    factory = "tests.evomerge.optimisers.bayes.quick:least"
    arguments: ClassVar = {"dim": 3, "seed": 0}
    generational = False

    def test_the_ith_proposal_does_not_depend_on_the_sizes_of_asks(self, make: Make) -> None:
        one, other = make(), make()
        for optimiser in (one, other):
            optimiser.tell(outcomes_of(optimiser.ask(8), first=0))
        assert equal(list(one.ask(20)), [genome for n in (1, 13, 0, 6) for genome in other.ask(n)])

    def test_outcomes_told_one_by_one_or_together_are_the_same(self, make: Make) -> None:
        together, singly = make(), make()
        told = 0
        for _ in range(5):
            genomes = list(together.ask(9))
            assert equal(genomes, list(singly.ask(9)))
            outcomes = outcomes_of(genomes, first=told)
            together.tell(outcomes)
            for outcome in reversed(outcomes):
                singly.tell([outcome])
            told += len(genomes)

    def test_infeasible_evaluations_are_learnt_from_also_where_nothing_is_feasible(self, make: Make) -> None:
        optimiser = make()
        genomes = search(optimiser, 40, lambda i, g: infeasible(i, g, violation=1e-3 + float(g[0])))
        assert np.mean([g[0] for g in genomes[25:]]) < 0.3 < np.mean([g[0] for g in genomes[:8]])


def peak(genome: Floats) -> float:
    """Return a smooth function of six genes with its maximum 1 off the middle."""
    centre = np.array([0.2, 0.8, 0.3, 0.6, 0.5, 0.9])
    return float(np.exp(-4.0 * ((genome - centre) ** 2).sum()))


def test_it_finds_the_top_of_a_function_of_six_genes_that_random_search_does_not_see() -> None:
    optimiser = plain(6, 0, weights={"top": 1.0})
    found = search(optimiser, 40, lambda i, g: scored(i, g, {"top": peak(g)}))
    drawn = RandomSearch(6, seed=0).ask(400)
    assert max(map(peak, found)) > 0.95
    assert max(map(peak, drawn)) < 0.85
    left = optimiser.gain_left()
    assert left is not None
    assert left < 0.02


def hypervolume(values: list[tuple[float, float]]) -> float:
    """Return the area that points dominate above (0, 0)."""
    area, reached = 0.0, 0.0
    for x, y in sorted(values, reverse=True):
        area += max(0.0, y - reached) * x
        reached = max(reached, y)
    return area


def test_it_finds_a_front_and_five_pending_at_once_cost_little() -> None:
    def two(genome: Floats) -> tuple[float, float]:
        near = float(((genome[1:] - 0.5) ** 2).sum())
        return float(np.cos(1.5 * genome[0]) * np.exp(-3 * near)), float(np.sin(1.5 * genome[0]) * np.exp(-3 * near))

    def outcome(number: int, genome: Floats) -> Outcome:
        return scored(number, genome, dict(zip(("left", "right"), two(genome), strict=True)))

    drawn = hypervolume([two(genome) for genome in RandomSearch(5, seed=0).ask(200)])
    for at_once in (1, 5):
        found = search(plain(5, 0), 40, outcome, at_once)
        assert hypervolume([two(genome) for genome in found]) > 1.2 * drawn


def answers(rng: np.random.Generator, number: int, genome: Floats) -> Evaluation:
    """Return the outcome of 12 of 90 items, drawn for each candidate, which are right the more often the better."""
    own = rng.permutation(90)[:12]
    ability = 3.0 - 12.0 * float(((genome - 0.7) ** 2).sum())
    values = (rng.random(12) < 1 / (1 + np.exp(3.0 * np.linspace(-1, 1, 90)[own] - ability))).astype(np.float64)
    objectives = (ObjectiveEstimate("words", float(values.mean()), 0.1, 12),)
    items = ItemScores(tuple(f"words/{j}" for j in own), values)
    return Evaluation(Candidate(number, RECIPE, None, number, genome), Estimate("search", objectives), items)


def test_answers_to_items_of_their_own_are_pooled_and_values_on_all_items_are_predicted() -> None:
    rng = np.random.default_rng(0)
    questions = Questions({"words": 1.0}, {"words": ("words",)}, {f"words/{j}": "words" for j in range(90)})
    optimiser = plain(3, 0, questions=questions)
    genomes = np.array(search(optimiser, 60, lambda i, g: answers(rng, i, g)))
    best = genomes[optimiser.predicted(genomes)[:, 0].argmax()]
    assert np.abs(best - 0.7).max() < 0.15
    apart = ((genomes - 0.7) ** 2).sum(axis=1)
    truth = (1 / (1 + np.exp(3.0 * np.linspace(-1, 1, 90) - 3.0 + 12.0 * apart[:, None]))).mean(axis=1)
    found = optimiser.predicted(genomes)[:, 0]
    assert np.corrcoef(found, truth)[0, 1] > 0.85
    assert abs(found.max() - truth.max()) < 0.08


def test_a_resume_makes_no_proposal_again_that_is_noted_and_goes_on_as_it_would_have() -> None:
    notes = NotesInMemory()

    def outcome(number: int, genome: Floats) -> Outcome:
        return failure(number, genome) if number % 7 == 3 else scored(number, genome, {"top": peak(genome)})

    whole = search(plain(6, 1, weights={"top": 1.0}, notes=notes), 30, outcome, at_once=3)
    nothing = Effort(draws=0, pool=0, improved=0, steps=0)  # no proposal can be made with it
    assert equal(whole, search(plain(6, 1, weights={"top": 1.0}, notes=notes, effort=nothing), 30, outcome, at_once=3))
    early = NotesInMemory()
    begun = plain(6, 1, weights={"top": 1.0}, notes=early)
    search(begun, 18, outcome, at_once=3)
    begun.ask(2)  # noted, and then it was killed: these two were never committed
    resumed = plain(6, 1, weights={"top": 1.0}, notes=early)
    assert equal(whole, search(resumed, 30, outcome, at_once=3))


def test_a_note_of_another_past_is_not_used() -> None:
    notes = NotesInMemory()
    search(plain(6, 1, weights={"top": 1.0}, notes=notes), 12, lambda i, g: scored(i, g, {"top": peak(g)}))

    def other(number: int, genome: Floats) -> Outcome:
        return scored(number, genome, {"top": 1.0 - peak(genome)})

    fresh = search(plain(6, 1, weights={"top": 1.0}), 12, other)
    assert equal(fresh, search(plain(6, 1, weights={"top": 1.0}, notes=notes), 12, other))


def test_where_merges_fail_it_seldom_looks_as_long_as_there_is_something_to_gain_elsewhere() -> None:
    def value(genome: Floats) -> float:
        return 0.5 + 0.5 * float(genome[0] - ((genome[1:] - 0.3) ** 2).sum())

    def outcome(number: int, genome: Floats) -> Outcome:
        # The values rise towards the part where merges fail.
        return failure(number, genome) if genome[0] > 0.6 else scored(number, genome, {"top": value(genome)})

    found = search(plain(5, 0, weights={"top": 1.0}), 40, outcome)
    assert max(value(genome) for genome in found if genome[0] <= 0.6) > 0.75
    assert np.mean([genome[0] > 0.6 for genome in found[10:]]) < 0.4


def test_constraints_are_kept_before_values_count() -> None:
    def outcome(number: int, genome: Floats) -> Outcome:
        return scored(number, genome, {"top": float(genome[0])}, max(0.0, float(genome[0] + genome[1]) - 0.8))

    found = search(plain(3, 0, weights={"top": 1.0}), 50, outcome)
    kept = [genome for genome in found if genome[0] + genome[1] <= 0.8]
    assert max(genome[0] for genome in kept) > 0.7
    assert np.mean([genome[0] + genome[1] <= 0.85 for genome in found[25:]]) > 0.5


def test_discrete_genes_are_proposed_at_the_middle_of_a_value_and_no_merge_twice() -> None:
    structure = Structure(4, (0,), (0, 1), choices={1: 3}, under={2: 0})

    def outcome(number: int, genome: Floats) -> Outcome:
        on, value = genome[0] > 0.5, int(genome[1] * 3)
        return scored(number, genome, {"top": 0.3 * on * genome[2] + 0.3 * (value == 2) + 0.3 * genome[3]})

    optimiser = plain(4, 0, structure=structure, weights={"top": 1.0})
    found = np.array(search(optimiser, 40, outcome))
    assert set(found[:, 0]) <= {0.25, 0.75}
    assert np.isin(np.round(found[:, 1] * 6), [1.0, 3.0, 5.0]).all()
    assert len(np.unique(found, axis=0)) == 40
    assert max(outcome(0, genome).estimate.objectives[0].value for genome in found) > 0.85  # type: ignore[union-attr]


def test_what_is_known_of_other_genomes_is_learnt_from() -> None:
    known = [(g, scored(i, g, {"top": peak(g)})) for i, g in enumerate(np.random.default_rng(0).random((20, 6)))]
    landmarks = [
        (g, Evaluation(Candidate(i, RECIPE, f"mean {i}"), one.estimate, one.scores)) for i, (g, one) in enumerate(known)
    ]
    best = max(peak(g) for g, _ in known)
    first = search(plain(6, 0, weights={"top": 1.0}, known=landmarks), 5, lambda i, g: scored(i, g, {"top": peak(g)}))
    assert max(map(peak, first)) > best


def test_scores_far_beyond_one_are_no_hindrance() -> None:
    found = search(plain(6, 0, weights={"top": 1.0}), 40, lambda i, g: scored(i, g, {"top": -900 + 300 * peak(g)}))
    assert max(map(peak, found)) > 0.9


def test_torchs_random_numbers_are_neither_read_nor_disturbed() -> None:
    before = torch.random.get_rng_state()
    search(least(3, 0), 12, lambda i, g: scored(i, g, {"left": g[0], "right": g[1]}))
    assert torch.equal(before, torch.random.get_rng_state())


def test_before_the_first_model_come_the_starts_and_nothing_is_known_to_be_left() -> None:
    starts = [np.full(3, 0.5), np.full(3, 0.25)]
    optimiser = plain(3, 0, starts=starts)
    assert equal(optimiser.ask(2), starts)
    assert optimiser.gain_left() is None
    with pytest.raises(ValueError, match="objectives: expected 2 finite values"):
        optimiser.tell([scored(0, starts[0], {"left": 0.5})])
    assert numbers(3).dim == 3
