"""A worker that scores block after block, and stops a candidate that cannot catch up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from evomerge.candidate import Failure, Scored
from evomerge.workers.in_process import InProcessPool
from evomerge.workers.worker import Worker
from fitness.errors import FitnessError
from fitness.estimators import Objective
from fitness.racing import Lost, RaceRules
from fitness.scores import Budget, ItemScores
from tests.evomerge.workers.scoring import AssemblingResident, SeededResident, make_candidate

ITEMS = tuple(f"words/{i}" for i in range(40))
RULES = RaceRules((Objective("words", ("words",)),), dict.fromkeys(ITEMS, "words"), delta=0.05, first_look=4)
RIVAL = ItemScores(ITEMS, np.ones(40))
BUDGET = Budget("search", ITEMS, rivals=(RIVAL,))


class CountingFitness:
    """A model of weight w has every w-th item wrong; 0: none. It counts what it answers."""

    item_ids = ITEMS

    def __init__(self) -> None:
        self.answered: list[str] = []

    def evaluate(self, model: SimpleNamespace, budget: Budget) -> ItemScores:
        if model.weight < 0:
            raise FitnessError("unscorable: expected a weight of at least 0, found a negative one")
        items = budget.items or ITEMS
        self.answered += items
        wrong = [model.weight and int(item.split("/")[1]) % model.weight == 0 for item in items]
        return ItemScores(items, np.array([0.0 if w else 1.0 for w in wrong]))

    def evaluate_in_blocks(
        self, model: SimpleNamespace, budget: Budget, *, ends: Sequence[int]
    ) -> Iterator[ItemScores]:
        items = budget.items or ITEMS
        for start, end in pairwise([0, *ends]):
            yield self.evaluate(model, Budget(budget.split, items[start:end]))

    def evaluate_together(self, models: Sequence[SimpleNamespace], budget: Budget) -> list[ItemScores | FitnessError]:
        found: list[ItemScores | FitnessError] = []
        for model in models:
            try:
                found.append(self.evaluate(model, budget))
            except FitnessError as error:
                found.append(error)
        return found


def test_a_candidate_that_cannot_catch_up_answers_no_further_block() -> None:
    fitness = CountingFitness()
    done = Worker(SeededResident(), fitness, rules=RULES).evaluate(make_candidate(1), BUDGET)
    assert isinstance(done, Scored)
    assert done.lost == Lost("hopeless", 0, 4)  # its rival has everything right
    assert done.scores.item_ids == ITEMS[:4] == tuple(fitness.answered)


def test_one_that_keeps_up_answers_everything_as_without_a_race() -> None:
    fitness = CountingFitness()
    worker = Worker(SeededResident(), fitness, rules=RULES)
    raced = worker.evaluate(make_candidate(0), BUDGET)
    whole = worker.evaluate(make_candidate(0), Budget("search", ITEMS))
    assert isinstance(raced, Scored)
    assert isinstance(whole, Scored)
    assert (raced.scores, raced.lost) == (whole.scores, None)
    assert fitness.answered == [*ITEMS, *ITEMS]


def test_nobody_loses_after_the_last_item() -> None:
    """It is scored whole then, whatever the test says."""
    theirs = ItemScores(ITEMS, np.array([1.0] * 39 + [0.0]))
    mine = make_candidate(39)  # wrong at 0 and 39, where its rival is wrong at 39 only
    done = Worker(SeededResident(), CountingFitness(), rules=RULES).evaluate(
        mine, Budget("search", ITEMS, rivals=(theirs,))
    )
    assert isinstance(done, Scored)
    assert (len(done.scores.item_ids), done.lost) == (40, None)


def test_what_is_known_is_not_asked_again_and_counts() -> None:
    fitness = CountingFitness()
    known = ItemScores(ITEMS[:12], np.zeros(12))
    for rivals in ((), (RIVAL,)):
        fitness.answered.clear()
        budget = Budget("search", ITEMS[:20], rivals=rivals, known=known)
        done = Worker(SeededResident(), fitness, rules=RULES).evaluate(make_candidate(0), budget)
        assert isinstance(done, Scored)
        n = 20 if not rivals else 16
        assert tuple(fitness.answered) == ITEMS[12:n]
        assert done.scores.item_ids == ITEMS[:n]
        assert done.scores.values.tolist() == [0.0] * 12 + [1.0] * (n - 12)
        assert (done.lost is not None) == bool(rivals)


def test_what_is_known_of_other_items_is_a_failure() -> None:
    budget = Budget("search", ITEMS, known=ItemScores(ITEMS[1:3], np.zeros(2)))
    done = Worker(SeededResident(), CountingFitness(), rules=RULES).evaluate(make_candidate(0), budget)
    assert isinstance(done, Failure)
    assert "budget.known: expected scores of the first" in done.reason


@pytest.mark.parametrize("behaviours", [["linear"] * 3, ["linear", "unscorable", "linear"]])
def test_candidates_that_race_together_come_as_far_as_alone(behaviours: list[str]) -> None:
    candidates = [make_candidate(number, behaviour) for number, behaviour in zip((0, 1, 7), behaviours, strict=True)]
    together, alone = CountingFitness(), CountingFitness()
    resident = AssemblingResident()
    pool = InProcessPool(lambda: Worker(resident, together, rules=RULES), together=3)
    for candidate in candidates:
        pool.submit(candidate, Budget("search", ITEMS, rivals=(ItemScores(ITEMS, np.ones(40)),)))
    found = pool.wait()
    worker = Worker(SeededResident(), alone, rules=RULES)
    for one, other in zip(found, [worker.evaluate(candidate, BUDGET) for candidate in candidates], strict=True):
        assert type(one) is type(other)
        if isinstance(one, Scored) and isinstance(other, Scored):
            assert (one.scores, one.lost) == (other.scores, other.lost)
    assert resident.assembled_at_once == [3]
    assert sorted(together.answered) == sorted(alone.answered)
