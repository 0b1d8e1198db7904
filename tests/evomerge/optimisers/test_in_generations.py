"""Generations for optimisers that breed one by one: who was stopped is told with what would have been answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from evomerge.candidate import Candidate, Evaluation, Failure, Outcome
from evomerge.optimisers.in_generations import InGenerations
from evomerge.optimisers.random_search import RandomSearch
from evomerge.testing.optimiser_contract import OptimiserContract
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate, Stopped
from tests.evomerge.toy import weights_recipe

ITEMS = tuple(f"{task}/{i}" for i in range(10) for task in ("sums", "words"))


def generations_of_random(dim: int, seed: int, size: int) -> InGenerations:
    return InGenerations(RandomSearch(dim, seed=seed), size)


class TestInGenerations(OptimiserContract):
    factory = "tests.evomerge.optimisers.test_in_generations:generations_of_random"
    arguments: ClassVar = {"dim": 3, "seed": 0, "size": 4}


class Listening:
    """Proposes numbers, and keeps what it is told."""

    def __init__(self, first: int = 10**9) -> None:
        self.asked, self.told, self._first = 0, list[list[Outcome]](), first

    def ask(self, n: int) -> Sequence[np.ndarray]:
        n = min(n, self._first - self.asked) if not self.told else n
        self.asked += n
        return [np.zeros(1)] * n

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        self.told.append(list(outcomes))


def evaluation(number: int, values: np.ndarray, *, violation: float = 0.0) -> Evaluation:
    """Return one that answered the first items; `violation` is that of constraints."""
    n, whole = len(values), len(values) == len(ITEMS)
    stopped = None if whole else Stopped("rung", None, n, 1.5)
    estimate = Estimate("search", (ObjectiveEstimate("mean", 0.5, 0.1, n),), stopped)
    candidate = Candidate(number, weights_recipe(0.5, 0.5), None, number)
    return Evaluation(candidate, estimate, ItemScores(ITEMS[:n], values), violation + (0.0 if whole else 1.5))


def world(n: int) -> np.ndarray:
    """(n, n_items) scores of candidates of which each is better than the one before, to items that grow harder."""
    return np.linspace(0.2, 0.7, n)[:, None] - np.linspace(0.0, 0.2, len(ITEMS))


def test_nobody_is_told_before_all_are_and_then_in_the_order_of_proposals() -> None:
    own = Listening()
    optimiser = InGenerations(own, 3)
    assert len(optimiser.ask(2)) == 2
    assert len(optimiser.ask(2)) == 1
    whole = world(3)
    optimiser.tell([evaluation(2, whole[2])])
    optimiser.tell([evaluation(0, whole[0])])
    assert len(optimiser.ask(2)) == 0
    assert own.told == []
    optimiser.tell([Failure(evaluation(1, whole[1]).candidate, "merge", "broken")])
    assert len(optimiser.ask(5)) == 3
    assert [[outcome.candidate.number for outcome in one] for one in own.told] == [[0, 1, 2]]


def test_where_the_optimiser_waits_by_itself_a_generation_is_smaller() -> None:
    own = Listening(first=2)
    optimiser = InGenerations(own, 8)
    assert len(optimiser.ask(5)) == 2
    assert len(optimiser.ask(5)) == 0
    optimiser.tell([evaluation(n, world(2)[n]) for n in range(2)])
    assert len(optimiser.ask(5)) == 5


def test_who_was_stopped_is_told_with_the_answers_of_an_additive_world_and_without_a_disadvantage() -> None:
    own, answers = Listening(), world(5)
    optimiser = InGenerations(own, 4, known=[evaluation(9, answers[4])])
    optimiser.ask(4)
    stopped = [evaluation(n, answers[n, :8], violation=0.25 * n) for n in range(3)]
    optimiser.tell([*stopped, evaluation(3, answers[3])])
    optimiser.ask(1)
    (told,) = own.told
    for number, one in enumerate(told):
        assert isinstance(one, Evaluation)
        assert one.scores.item_ids == ITEMS
        inside = np.clip(answers[number], answers[:3, :8].min(), None)  # nothing is expected beyond what was seen
        assert one.scores.values == pytest.approx(inside, abs=0.02)
        assert one.violation == pytest.approx(0.25 * number if number < 3 else 0.0)
        assert (one.estimate.stopped is not None) == (number < 3)


def test_who_answered_nothing_or_could_not_be_compared_is_told_as_one_that_failed() -> None:
    own, answers = Listening(), world(4)
    optimiser = InGenerations(own, 2)
    optimiser.ask(2)
    optimiser.tell([evaluation(n, answers[n, :8]) for n in range(2)])  # nobody has answered the other items
    optimiser.ask(2)
    nothing = evaluation(2, answers[2, :0])
    stopped = replace(nothing.estimate, stopped=Stopped("screen", None, 0, 64.5))
    optimiser.tell([replace(nothing, estimate=stopped, violation=64.5), evaluation(3, answers[3])])
    optimiser.ask(1)
    assert [[isinstance(one, Failure) for one in outcomes] for outcomes in own.told] == [[True, True], [True, False]]


def test_who_does_not_compare_item_by_item_is_told_as_it_is() -> None:
    own, answers = Listening(), world(3)
    optimiser = InGenerations(own, 2, by_item=False)
    optimiser.ask(2)
    outcomes = [evaluation(0, answers[0, :8]), evaluation(1, answers[1])]
    optimiser.tell(outcomes[::-1])
    optimiser.ask(1)
    assert own.told == [outcomes]
