from __future__ import annotations

import time

import pytest
import torch

from evomerge.candidate import Candidate, Failure, Scored
from evomerge.workers.worker import Worker, reason
from fitness.errors import FitnessError
from fitness.scores import Budget
from tests.evomerge.workers.scoring import (
    AssemblingResident,
    ItemFitness,
    JointItemFitness,
    SeededResident,
    joint_worker,
    make_candidate,
    make_scoring_worker,
)

BUDGET = Budget("search")


class Raising:
    """A resident that raises the given errors, one per call, and then works."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0
        self._resident = SeededResident()
        self.model = self._resident.model

    def become(self, recipe) -> None:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        self._resident.become(recipe)


def test_a_candidate_is_merged_before_it_is_scored():
    done = make_scoring_worker().evaluate(make_candidate(1), BUDGET)
    assert isinstance(done, Scored)
    assert done.scores.values.tolist() == [1 / 2, 1 / 3, 1 / 4]
    assert done.seconds > 0


@pytest.mark.parametrize(("behaviour", "stage"), [("unmergeable", "merge"), ("unscorable", "evaluate")])
def test_a_failure_names_its_stage_and_keeps_the_traceback(behaviour: str, stage: str):
    candidate = make_candidate(0, behaviour)
    done = make_scoring_worker().evaluate(candidate, BUDGET)
    assert isinstance(done, Failure)
    assert (done.candidate, done.stage, done.attempts) == (candidate, stage, 1)
    assert "\n" not in done.reason
    assert "Traceback" in done.traceback
    assert done.seconds > 0


def test_the_candidate_after_a_failure_is_scored_as_if_nothing_had_happened():
    worker = make_scoring_worker()
    before = worker.evaluate(make_candidate(4), BUDGET)
    worker.evaluate(make_candidate(0, "unmergeable"), BUDGET)
    after = worker.evaluate(make_candidate(4), BUDGET)
    assert isinstance(before, Scored)
    assert isinstance(after, Scored)
    assert before.scores == after.scores


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
    ],
)
def test_running_out_of_memory_is_tried_once_more(error: Exception):
    resident = Raising(error)
    assert isinstance(Worker(resident, ItemFitness()).evaluate(make_candidate(0), BUDGET), Scored)
    assert resident.calls == 2


def test_running_out_of_memory_twice_is_a_failure_of_two_attempts():
    resident = Raising(*[torch.OutOfMemoryError("CUDA out of memory")] * 3)
    done = Worker(resident, ItemFitness()).evaluate(make_candidate(0), BUDGET)
    assert isinstance(done, Failure)
    assert (done.stage, done.attempts, resident.calls) == ("merge", 2, 2)
    assert done.reason == "OutOfMemoryError: CUDA out of memory"


def test_an_error_that_would_only_repeat_is_not_tried_again():
    resident = Raising(RuntimeError("size mismatch"))
    assert isinstance(Worker(resident, ItemFitness()).evaluate(make_candidate(0), BUDGET), Failure)
    assert resident.calls == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_an_interruption_passes_through(error: BaseException):
    with pytest.raises(type(error)):
        Worker(Raising(error), ItemFitness()).evaluate(make_candidate(0), BUDGET)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FitnessError("task: expected items,\n  found none"), "task: expected items, found none"),
        (ValueError("bad\nvalue"), "ValueError: bad value"),
        (KeyError("a"), "KeyError: 'a'"),
        (AssertionError(), "AssertionError"),
        (FitnessError(), "FitnessError"),
    ],
)
def test_a_reason_is_one_line_for_people(error: Exception, text: str):
    assert reason(error) == text


def numbered(*behaviours: str) -> list[Candidate]:
    return [make_candidate(number, behaviour) for number, behaviour in enumerate(behaviours)]


def test_candidates_scored_together_have_the_scores_of_each_alone():
    resident = AssemblingResident()
    candidates = numbered("linear", "unscorable", "linear")
    together = joint_worker(resident, JointItemFitness()).evaluate_together(candidates, BUDGET)
    assert resident.assembled_at_once == [3]
    for candidate, done in zip(candidates, together, strict=True):
        alone = make_scoring_worker().evaluate(candidate, BUDGET)
        assert done.candidate is candidate
        assert done.seconds > 0
        assert type(done) is type(alone)
        if isinstance(done, Scored):
            assert done.scores == alone.scores
        else:
            assert (done.stage, done.reason, done.attempts) == (alone.stage, alone.reason, alone.attempts)
            assert "Traceback" in done.traceback


def test_equal_recipes_are_scored_once():
    resident = AssemblingResident()
    candidates = [Candidate(number, make_candidate(number % 2).recipe) for number in range(5)]
    together = joint_worker(resident, JointItemFitness()).evaluate_together(candidates, BUDGET)
    assert resident.assembled_at_once == [2]
    assert [done.candidate for done in together] == candidates
    assert [done.scores.values[0] for done in together] == [1.0, 0.5, 1.0, 0.5, 1.0]


def test_together_they_take_as_long_as_their_seconds_say():
    started = time.perf_counter()
    together = joint_worker(AssemblingResident(), JointItemFitness()).evaluate_together(
        numbered(*["linear"] * 5), BUDGET
    )
    assert 0 < sum(done.seconds for done in together) <= time.perf_counter() - started
    assert len({done.seconds for done in together}) == 1


def test_where_nothing_scores_them_together_they_are_scored_one_by_one():
    together = make_scoring_worker().evaluate_together(numbered("linear", "linear"), BUDGET)
    assert [done.scores.values[0] for done in together] == [1.0, 0.5]


def test_one_that_cannot_be_merged_fails_alone():
    worker = joint_worker(AssemblingResident(), JointItemFitness())
    together = worker.evaluate_together(numbered("linear", "unmergeable", "linear"), BUDGET)
    assert [type(done) for done in together] == [Scored, Failure, Scored]
    assert together[1].stage == "merge"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("size mismatch")])
def test_whatever_goes_wrong_together_they_are_then_scored_one_by_one(error):
    class RaisingTogether(JointItemFitness):
        def evaluate_together(self, models, budget):
            raise error

    together = joint_worker(AssemblingResident(), RaisingTogether()).evaluate_together(
        numbered("linear", "linear"), BUDGET
    )
    assert [type(done) for done in together] == [Scored, Scored]


def test_an_interruption_of_several_passes_through():
    class Interrupted(JointItemFitness):
        def evaluate_together(self, models, budget):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        joint_worker(AssemblingResident(), Interrupted()).evaluate_together(numbered("linear", "linear"), BUDGET)
