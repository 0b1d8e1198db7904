"""A pool of one worker, in this process."""

from __future__ import annotations

from collections.abc import Callable

from evomerge.candidate import Candidate, Done
from evomerge.workers.protocol import CandidateWorker
from fitness.scores import Budget


class InProcessPool:
    """Scores one candidate at a time, inside `wait`.

    The worker is made at once, so that a broken setup is found before anything is asked; what `make_worker` raises
    is raised as it is.
    """

    def __init__(self, make_worker: Callable[[], CandidateWorker]) -> None:
        self._worker: CandidateWorker | None = make_worker()
        self._submitted: tuple[Candidate, Budget] | None = None

    @property
    def free(self) -> int:
        """How many candidates can be submitted before one must be waited for."""
        return int(self._worker is not None and self._submitted is None)

    def submit(self, candidate: Candidate, budget: Budget) -> None:
        """Keep the candidate for the next `wait`.

        Raises:
            RuntimeError: a candidate waits already, or the pool is closed.
        """
        if not self.free:
            raise RuntimeError("submit: expected a free worker, found none; call wait() first")
        self._submitted = (candidate, budget)

    def wait(self) -> list[Done]:
        """Score the submitted candidate; interrupted by Ctrl-C, it stays submitted."""
        if self._worker is None or self._submitted is None:
            return []
        done = self._worker.evaluate(*self._submitted)
        self._submitted = None
        return [done]

    def close(self) -> None:
        """Let go of the worker and its model; a second call does nothing."""
        self._worker = None
        self._submitted = None
