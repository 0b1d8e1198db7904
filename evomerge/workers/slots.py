"""A pool's places for actors, and the candidates that wait for one."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from evomerge.candidate import Candidate, Done, Failure, Scored, Stage
from evomerge.workers.ray_actor import Place
from fitness.scores import Budget


@dataclass(eq=False)
class Job:
    """A submitted candidate.

    Attributes:
        began: when it was submitted, in monotonic seconds.
        died_on: the node of every try that ended with its process or its deadline, of whatever cause.
        n_lost: how often it was lost with its worker for no fault of its own.
    """

    candidate: Candidate
    budget: Budget
    began: float = field(default_factory=time.monotonic)
    died_on: list[str] = field(default_factory=list)
    n_lost: int = 0

    @property
    def alone(self) -> bool:
        """Whether it is tried without others, so that it is found whose fault it is."""
        return bool(self.died_on or self.n_lost)

    def finished(self, done: Done) -> Done:
        """Return an actor's answer with our own candidate, and scores that pin no shared memory."""
        if isinstance(done, Scored):
            scores = replace(done.scores)
            return replace(done, candidate=self.candidate, scores=scores)
        return replace(done, candidate=self.candidate, attempts=done.attempts + len(self.died_on))

    def failed(self, stage: Stage, reason: str, traceback: str = "") -> Failure:
        """Return the candidate as failed for good."""
        seconds = time.monotonic() - self.began
        return Failure(self.candidate, stage, reason, max(1, len(self.died_on)), traceback, seconds)


@dataclass(eq=False)
class Slot:
    """A place for one actor at a time.

    Attributes:
        number: counts the slots of a pool.
        awaited: what the actor will answer next; None: it is idle.
        phase: what that is: where it is, that its worker is built, what became of its jobs.
        expires: when to give up waiting for it, in monotonic seconds.
        place: where the actor is, once it is known.
        group: what it reserves on several nodes; None: it is on one.
        nodes: Ray's ids of all nodes that it has something of, once it is placed.
        n_failed: how often in a row no worker could be built.
        since: when its phase began, in monotonic seconds.
        lines: what it said while it was built.
    """

    number: int
    actor: Any = None
    awaited: Any = None
    phase: Literal["placing", "building", "ready"] = "placing"
    expires: float = math.inf
    place: Place | None = None
    group: Any = None
    nodes: set[str] = field(default_factory=set)
    jobs: list[Job] = field(default_factory=list)
    n_failed: int = 0
    since: float = 0.0
    lines: list[str] = field(default_factory=list)

    @property
    def idle(self) -> bool:
        """Whether it can be given candidates."""
        return self.phase == "ready" and not self.jobs

    @property
    def node(self) -> str:
        """Ray's id of its node; empty while it is not known."""
        return "" if self.place is None else self.place.node

    def expect(self, awaited: Any, phase: Literal["placing", "building", "ready"], seconds: float = math.inf) -> None:
        """Wait for another answer, so long."""
        now = time.monotonic()
        self.awaited, self.phase, self.since, self.expires = awaited, phase, now, now + seconds


class JobQueue:
    """Jobs that no actor has; those that were lost come first."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def append(self, job: Job) -> None:
        """Put a new job at the end."""
        self._jobs.append(job)

    def put_back(self, jobs: Sequence[Job]) -> None:
        """Put lost jobs in front."""
        self._jobs.extendleft(reversed(jobs))

    def take(self, most: int) -> list[Job]:
        """Return up to `most` jobs that can be done together: of one budget, and none that was lost before."""
        taken = [self._jobs.popleft()]
        while self._jobs and len(taken) < most and not taken[0].alone:
            if self._jobs[0].alone or self._jobs[0].budget != taken[0].budget:
                break
            taken.append(self._jobs.popleft())
        return taken

    def clear(self) -> None:
        """Forget them."""
        self._jobs.clear()
