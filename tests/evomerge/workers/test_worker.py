from __future__ import annotations

import pytest
import torch

from evomerge.candidate import Failure, Scored
from evomerge.workers.worker import Worker, reason
from fitness.errors import FitnessError
from fitness.scores import Budget
from tests.evomerge.workers.scoring import ItemFitness, SeededResident, make_candidate, make_scoring_worker

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
