"""A place for one actor at a time, and what becomes of the candidate that it scores."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

from evomerge.candidate import Candidate, Done, Failure, Scored, Stage
from fitness.scores import Budget, ItemScores


@dataclass
class Job:
    """A submitted candidate.

    Attributes:
        began: when it was submitted, in monotonic seconds.
        attempts: how often it has been tried, this time included.
    """

    candidate: Candidate
    budget: Budget
    began: float
    attempts: int = 1


@dataclass(eq=False)
class Slot:
    """A place for one actor at a time.

    Attributes:
        actor: the actor that holds the place now.
        awaited: what it will answer next: that it is ready, then the outcome of its job.
        starting: whether it is still building its worker.
        expires: when to give up waiting for `awaited`, in monotonic seconds.
        job: the candidate it works on; None when it is free.
    """

    actor: Any = None
    awaited: Any = None
    starting: bool = True
    expires: float = math.inf
    job: Job | None = None

    def finish(self, done: Done) -> Done:
        """Free the slot; return an actor's answer with our own candidate, and scores that pin no shared memory."""
        job = self._free()
        if isinstance(done, Scored):
            return replace(done, candidate=job.candidate, scores=ItemScores(done.scores.item_ids, done.scores.values))
        return replace(done, candidate=job.candidate, attempts=done.attempts + job.attempts - 1)

    def fail(self, stage: Stage, reason: str, traceback: str = "") -> Failure:
        """Free the slot; return its candidate as failed for good."""
        job = self._free()
        return Failure(job.candidate, stage, reason, job.attempts, traceback, time.monotonic() - job.began)

    def _free(self) -> Job:
        assert self.job is not None
        job, self.job = self.job, None
        return job
