"""A pool of several workers in this process, which finish in any order, the same in every run."""

from __future__ import annotations

import random
from collections.abc import Callable

from evomerge.candidate import Candidate, Done
from evomerge.workers.protocol import CandidateWorker
from fitness.scores import Budget


class SeveralWorkers:
    """Notes what was submitted and done, in order."""

    def __init__(self, make_worker: Callable[[], CandidateWorker], count: int) -> None:
        self.worker = make_worker()
        self.count = count
        self.chance = random.Random(0)
        self.running: list[tuple[Candidate, Budget]] = []
        self.log: list[tuple[str, Candidate, Budget]] = []

    @property
    def free(self) -> int:
        return self.count - len(self.running)

    @property
    def workers(self) -> int:
        return self.count

    def submit(self, candidate: Candidate, budget: Budget) -> None:
        assert self.free > 0
        self.log.append(("submit", candidate, budget))
        self.running.append((candidate, budget))

    def wait(self) -> list[Done]:
        candidate, budget = self.running.pop(self.chance.randrange(len(self.running)))
        self.log.append(("done", candidate, budget))
        return [self.worker.evaluate(candidate, budget)]

    def close(self) -> None:
        self.running.clear()
