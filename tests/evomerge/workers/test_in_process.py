from __future__ import annotations

import pytest

from evomerge.workers.in_process import InProcessPool
from search_spaces.errors import SpaceError
from tests.contracts.worker_pool_contract import BUDGET, MakePool, WorkerPoolContract
from tests.evomerge.workers.scoring import make_broken_worker, make_candidate, make_scoring_worker


class TestInProcessPool(WorkerPoolContract):
    @pytest.fixture(scope="class")
    @classmethod
    def make_pool(cls) -> MakePool:
        return InProcessPool


def test_a_broken_setup_is_raised_before_anything_is_asked():
    with pytest.raises(SpaceError, match=r"config\.json"):
        InProcessPool(make_broken_worker)


def test_an_interrupted_candidate_stays_submitted():
    worker = make_scoring_worker()
    interruptions = iter([KeyboardInterrupt])

    class InterruptedOnce:
        def evaluate(self, candidate, budget):
            for interruption in interruptions:
                raise interruption
            return worker.evaluate(candidate, budget)

    pool = InProcessPool(InterruptedOnce)
    pool.submit(make_candidate(5), BUDGET)
    with pytest.raises(KeyboardInterrupt):
        pool.wait()
    assert [done.candidate.number for done in pool.wait()] == [5]
