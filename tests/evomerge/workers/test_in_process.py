from __future__ import annotations

import pytest

from evomerge.workers.in_process import InProcessPool
from fitness.scores import Budget
from search_spaces.errors import SpaceError
from tests.evomerge.workers.pool_contract import BUDGET, MakePool, WorkerPoolContract
from tests.evomerge.workers.scoring import (
    make_broken_worker,
    make_candidate,
    make_joint_worker,
    make_scoring_worker,
)


class TestInProcessPool(WorkerPoolContract):
    @pytest.fixture(scope="class")
    @classmethod
    def make_pool(cls) -> MakePool:
        return InProcessPool


class TestInProcessPoolOfCandidatesScoredTogether(WorkerPoolContract):
    @pytest.fixture(scope="class")
    @classmethod
    def make_pool(cls) -> MakePool:
        def make(make_worker):
            return InProcessPool(make_joint_worker if make_worker is make_scoring_worker else make_worker, together=3)

        return make


def test_candidates_of_one_budget_are_scored_together_and_those_of_another_apart():
    calls = []

    class Recording:
        def evaluate(self, candidate, budget):
            return self.evaluate_together([candidate], budget)[0]

        def evaluate_together(self, candidates, budget):
            calls.append(([candidate.number for candidate in candidates], budget))
            return make_scoring_worker().evaluate_together(candidates, budget)

    pool = InProcessPool(Recording, together=5)
    other = Budget("search", ("words/1",))
    for number, budget in enumerate([BUDGET, BUDGET, other, BUDGET, BUDGET]):
        pool.submit(make_candidate(number), budget)
    assert [done.candidate.number for done in pool.wait()] == [0, 1, 2, 3, 4]
    assert calls == [([0, 1], BUDGET), ([2], other), ([3, 4], BUDGET)]


def test_a_pool_has_one_worker_however_many_candidates_it_scores_together():
    pool = InProcessPool(make_joint_worker, together=7)
    assert (pool.workers, pool.free) == (1, 7)
    pool.close()
    assert pool.workers == 0


def test_a_broken_setup_is_raised_before_anything_is_asked():
    with pytest.raises(SpaceError, match=r"config\.json"):
        InProcessPool(make_broken_worker)


@pytest.mark.parametrize("together", [1, 3])
def test_an_interrupted_pool_is_free_again(together):
    worker = make_scoring_worker()
    interruptions = iter([KeyboardInterrupt])

    class InterruptedOnce:
        def evaluate(self, candidate, budget):
            for interruption in interruptions:
                raise interruption
            return worker.evaluate(candidate, budget)

        def evaluate_together(self, candidates, budget):
            return [self.evaluate(candidate, budget) for candidate in candidates]

    pool = InProcessPool(InterruptedOnce, together=together)
    for number in range(together):
        pool.submit(make_candidate(number), BUDGET)
    with pytest.raises(KeyboardInterrupt):
        pool.wait()
    assert pool.free == together
    for number in range(together):
        pool.submit(make_candidate(number), BUDGET)
    assert [done.candidate.number for done in pool.wait()] == list(range(together))
