"""What every worker pool must do; subclass it and give it a `make_pool` fixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from evomerge.candidate import Candidate, Done, Failure, Scored
from evomerge.workers.protocol import CandidateWorker, WorkerPool
from fitness.scores import Budget
from tests.evomerge.workers.scoring import make_candidate, make_scoring_worker

BUDGET = Budget("search")
MakePool = Callable[[Callable[[], CandidateWorker]], WorkerPool]


def score_all(pool: WorkerPool, candidates: list[Candidate]) -> list[Done]:
    """Keep the pool full until every candidate is back."""
    waiting = list(candidates)
    done: list[Done] = []
    while len(done) < len(candidates):
        while waiting and pool.free:
            pool.submit(waiting.pop(0), BUDGET)
        done += pool.wait()
    return done


class WorkerPoolContract:
    @pytest.fixture(scope="class")
    @classmethod
    def make_pool(cls) -> MakePool:
        """Return what makes a pool of the workers that the given callable makes, and closes it in the end."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def shared_pool(cls, make_pool: MakePool) -> WorkerPool:
        return make_pool(make_scoring_worker)

    @pytest.fixture
    def pool(self, shared_pool: WorkerPool) -> Iterator[WorkerPool]:
        """One pool for all tests of a class, for workers start slowly; what a test leaves in it is waited for."""
        yield shared_pool
        while shared_pool.wait():
            pass

    def test_every_submitted_candidate_comes_back_exactly_once(self, pool: WorkerPool) -> None:
        candidates = [make_candidate(number) for number in range(7)]
        done = score_all(pool, candidates)
        assert sorted(one.candidate.number for one in done) == list(range(7))
        assert pool.wait() == []

    def test_a_candidate_comes_back_as_the_object_that_was_submitted_genome_included(self, pool: WorkerPool) -> None:
        candidate = make_candidate(3, genome=object())
        (done,) = score_all(pool, [candidate])
        assert done.candidate is candidate

    def test_scores_equal_those_of_the_worker_called_directly(self, pool: WorkerPool) -> None:
        candidates = [make_candidate(number) for number in range(3)]
        worker = make_scoring_worker()
        for done in score_all(pool, candidates):
            direct = worker.evaluate(done.candidate, BUDGET)
            assert isinstance(done, Scored)
            assert isinstance(direct, Scored), direct
            assert done.scores == direct.scores
            assert done.seconds > 0
            assert not done.scores.values.flags.writeable

    def test_the_budget_reaches_the_worker(self, pool: WorkerPool) -> None:
        pool.submit(make_candidate(0), Budget("search", ("words/2", "words/0")))
        (done,) = pool.wait()
        assert isinstance(done, Scored)
        assert done.scores.item_ids == ("words/2", "words/0")

    def test_free_counts_what_can_be_submitted(self, pool: WorkerPool) -> None:
        count = pool.free
        assert count >= 1
        for number in range(count):
            assert pool.free == count - number
            pool.submit(make_candidate(number), BUDGET)
        assert pool.free == 0
        n_done = len(pool.wait())
        assert n_done >= 1
        assert pool.free == n_done

    def test_every_worker_can_be_given_a_candidate_at_once(self, pool: WorkerPool) -> None:
        assert 1 <= pool.workers <= pool.free

    def test_submitting_when_no_worker_is_free_is_refused(self, pool: WorkerPool) -> None:
        for number in range(pool.free):
            pool.submit(make_candidate(number), BUDGET)
        with pytest.raises(RuntimeError, match="expected a free worker, found none"):
            pool.submit(make_candidate(99), BUDGET)

    def test_waiting_for_nothing_returns_nothing(self, pool: WorkerPool) -> None:
        assert pool.wait() == []

    @pytest.mark.parametrize(("behaviour", "stage"), [("unmergeable", "merge"), ("unscorable", "evaluate")])
    def test_a_failing_candidate_comes_back_as_a_failure_and_the_pool_goes_on(
        self, pool: WorkerPool, behaviour: str, stage: str
    ) -> None:
        done = score_all(pool, [make_candidate(0, behaviour), make_candidate(1), make_candidate(2)])
        failures = [one for one in done if isinstance(one, Failure)]
        assert [(one.candidate.number, one.stage, one.attempts) for one in failures] == [(0, stage, 1)]
        assert behaviour in failures[0].reason
        assert "Traceback" in failures[0].traceback
        assert {one.candidate.number for one in done if isinstance(one, Scored)} == {1, 2}

    def test_closing_twice_is_closing_once(self, make_pool: MakePool) -> None:
        pool = make_pool(make_scoring_worker)
        pool.submit(make_candidate(0), BUDGET)
        pool.close()
        pool.close()
        assert (pool.free, pool.workers) == (0, 0)
        assert pool.wait() == []
        with pytest.raises(RuntimeError, match="expected a free worker"):
            pool.submit(make_candidate(1), BUDGET)
