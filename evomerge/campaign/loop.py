"""The campaign: one search from start to finish.

Read `Campaign.run` first. What it asks and tells is committed to the archive before it takes effect (`ledger`);
resuming is replaying those events into a fresh optimiser and submitting again what was asked but never told.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Literal, TypeVar

from evomerge.archive import Archive
from evomerge.campaign.constraints import Constraints
from evomerge.campaign.incumbents import Incumbents
from evomerge.campaign.ledger import Ledger
from evomerge.campaign.progress import Limits, Progress
from evomerge.campaign.racing import Racing, RacingPlan
from evomerge.campaign.replay import CampaignError
from evomerge.candidate import Candidate, Done
from evomerge.errors import EvomergeError
from evomerge.optimisers.protocol import Optimiser
from evomerge.workers.protocol import WorkerPool
from fitness.protocols import Estimator
from fitness.scores import Budget
from search_spaces.space import Landmark, SearchSpace

G = TypeVar("G")
Ending = Literal["evaluations", "hours", "interrupted", "exhausted"]
SEARCH = Budget("search")

__all__ = ["Campaign", "CampaignError", "Ending", "SearchInterruptedError"]


class SearchInterruptedError(EvomergeError, RuntimeError):
    """The user stopped the search; everything told is in the archive."""


class Campaign(Generic[G]):
    """Drives one optimiser over one space with one pool, and records everything."""

    def __init__(  # noqa: PLR0913 -- the parts of a campaign
        self,
        archive: Archive,
        space: SearchSpace[G],
        optimiser: Optimiser[G],
        *,
        estimator: Estimator,
        pool: WorkerPool,
        limits: Limits,
        budget: Budget = SEARCH,
        further: Sequence[Budget] = (),
        landmarks: Sequence[Landmark] = (),
        racing: RacingPlan | None = None,
        constraints: Constraints | None = None,
        watch: Callable[[Progress], None] | None = None,
    ) -> None:
        """Take the parts; `watch` is called after every step with the same Progress object.

        Candidates are scored on the items of `budget`, all search items or some of them, and the best of them on those
        of `further` where a worker would be idle. The space's landmarks come first, then further `landmarks`. The
        constraints learn from them, so they must hold those that they name. With `racing` candidates that cannot catch
        up are stopped; the budget lists its items then.
        """
        self._archive = archive
        self._space = space
        self._constraints = Constraints() if constraints is None else constraints
        self._racing = Racing(archive, budget, racing)
        self._incumbents = Incumbents(archive, estimator, further)
        self._progress = Progress(limits.evaluations, items=None if racing is None else len(budget.items or ()))
        self._ledger = Ledger(
            archive,
            space,
            optimiser,
            estimator=estimator,
            constraints=self._constraints,
            racing=self._racing,
            incumbents=self._incumbents,
            progress=self._progress,
        )
        self._pool = pool
        self._limits = limits
        self._landmarks = landmarks
        self._watch = watch
        self._queue: deque[Candidate] = deque()
        self._recalled: list[Done] = []
        self._draining = False

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._progress

    def drain(self) -> None:
        """Submit nothing more: `run` returns once what was submitted is told."""
        self._draining = True

    def run(self) -> Ending:
        """Search until a limit, `drain`, or five different candidates failing in a row.

        Raises:
            CampaignError: five failures in a row, a failed landmark that a constraint names, or a past that this
                optimiser cannot replay.
            ArchiveError: the disk is full.
        """
        self._constraints.note(self._archive)
        self._queue.extend(self._ledger.replay(self._pool.workers))
        started, before, done_before = time.monotonic(), self._progress.seconds, self._progress.done
        if self._ledger.roster.n_asked == 0:
            landmarks = [*self._space.landmarks(), *self._landmarks][: self._limits.evaluations]
            self._queue.extend(self._ledger.ask_landmarks(landmarks))
        self._refill()
        in_flight, now = 0, started
        while True:
            in_flight += self._submit()
            in_flight += self._fill(in_flight)
            if in_flight == 0:
                return self._ending()
            arrived, self._recalled = self._recalled or self._pool.wait(), []
            then, now = now, time.monotonic()
            self._progress.utilisation.add(now - then, running=in_flight, workers=self._pool.workers)
            in_flight -= len(arrived)
            elapsed = now - started
            self._progress.seconds = before + elapsed
            # One commit a step: what arrived, and what is asked now that it is known. Nothing is submitted before.
            with self._archive.transaction():
                self._receive(arrived)
                self._refill()
            pace = elapsed / max(1, self._progress.done - done_before)
            self._progress.left = self._limits.left(self._progress, pace)
            if self._watch is not None:
                self._watch(self._progress)

    def _refill(self) -> None:
        """Ask for as many candidates as workers wait for one, or see who of a generation that waits goes on."""
        self._ask()
        if not self._closing() and not self._queue:
            self._queue.extend(self._ledger.cut())
            if not self._ledger.roster.pending:  # those who were set aside were the last ones of a generation
                self._ask()

    def _ask(self) -> None:
        """Ask for as many candidates as workers wait for one; none before what they are measured by is told."""
        while not self._closing() and self._ledger.may_ask:
            n = min(self._pool.free - len(self._queue), self._limits.evaluations - self._ledger.roster.n_asked)
            asked = self._ledger.ask(n) if n > 0 else []
            if not asked:
                return
            self._queue.extend(asked)

    def _submit(self) -> int:
        """Give the queue to the free workers, but for recipes whose scores are known; return how many were taken."""
        submitted = 0
        while self._queue and self._pool.free > 0 and not self._closing():
            candidate = self._queue.popleft()
            if (known := self._ledger.recall(candidate)) is not None:
                self._recalled.append(known)
            else:
                self._pool.submit(candidate, self._racing.budget(candidate))
            submitted += 1
        return submitted

    def _fill(self, in_flight: int) -> int:
        """While the optimiser waits for others, let idle workers score the front further; return how many do."""
        filled = 0
        while self._ledger.roster.pending and in_flight + filled < self._pool.workers and self._pool.free > 0:
            job = None if self._closing() or self._queue else self._incumbents.next_job()
            if job is None:
                break
            self._pool.submit(*job)
            filled += 1
        return filled

    def _receive(self, arrived: list[Done]) -> None:
        """Commit what arrived, then learn from it."""
        further = [done for done in arrived if self._incumbents.awaits(done.candidate.number)]
        for done in further:
            self._incumbents.receive(done)
        self._ledger.tell([done for done in arrived if done not in further])

    def _closing(self) -> bool:
        over = self._draining or self._ledger.broken is not None
        return over or self._limits.out_of_time(self._progress.seconds)

    def _ending(self) -> Ending:
        if self._ledger.broken is not None:
            raise self._ledger.broken
        if self._draining:
            return "interrupted"
        if self._progress.done >= self._limits.evaluations:
            return "evaluations"
        return "hours" if self._closing() else "exhausted"
