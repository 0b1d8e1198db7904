"""A pool of one worker, in this process."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby

from evomerge.candidate import Candidate, Done
from evomerge.workers.protocol import CandidateWorker
from fitness.scores import Budget


class InProcessPool:
    """Scores candidates inside `wait`, one at a time or several together.

    The worker is made at once, so that a broken setup is found before anything is asked; what `make_worker` raises
    is raised as it is.

    Args:
        make_worker: called once.
        together: most candidates that are scored together, at least 1.
    """

    def __init__(self, make_worker: Callable[[], CandidateWorker], *, together: int = 1) -> None:
        self._worker: CandidateWorker | None = make_worker()
        self._together = together
        self._submitted: list[tuple[Candidate, Budget]] = []

    @property
    def free(self) -> int:
        """How many candidates can be submitted before one must be waited for."""
        return 0 if self._worker is None else self._together - len(self._submitted)

    @property
    def workers(self) -> int:
        """How many workers score at the same time: one, until it is closed."""
        return int(self._worker is not None)

    def submit(self, candidate: Candidate, budget: Budget) -> None:
        """Keep the candidate for the next `wait`."""
        if not self.free:
            raise RuntimeError("submit: expected a free worker, found none; call wait() first")
        self._submitted.append((candidate, budget))

    def wait(self) -> list[Done]:
        """Score the submitted candidates; interrupted by Ctrl-C, they are let go of."""
        if self._worker is None:
            return []
        done: list[Done] = []
        submitted, self._submitted = self._submitted, []
        for budget, group in groupby(submitted, key=lambda submitted: submitted[1]):
            candidates = [candidate for candidate, _ in group]
            if len(candidates) == 1:
                done.append(self._worker.evaluate(candidates[0], budget))
            else:
                done.extend(self._worker.evaluate_together(candidates, budget))
        return done

    def close(self) -> None:
        """Let go of the worker and its model; a second call does nothing."""
        self._worker = None
        self._submitted.clear()
