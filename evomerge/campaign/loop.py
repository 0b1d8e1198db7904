"""The campaign: one search from start to finish.

Read `Campaign.run` first. The loop commits every event to the archive before it takes effect; resuming is replaying
those events into a fresh optimiser and submitting again what was asked but never told.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Literal, TypeVar

from evomerge.archive import Archive, Asked
from evomerge.campaign.constraints import Constraints
from evomerge.campaign.incumbents import Incumbents
from evomerge.campaign.judge import Judge, rank
from evomerge.campaign.progress import Limits, Progress, Utilisation
from evomerge.campaign.replay import CampaignError, check_replayed, recorded_outcome
from evomerge.candidate import Candidate, Done, Failure, Outcome
from evomerge.optimisers.protocol import Optimiser
from evomerge.workers.protocol import WorkerPool
from fitness.protocols import Estimator
from fitness.scores import Budget
from search_spaces.space import Landmark, SearchSpace

G = TypeVar("G")
Ending = Literal["evaluations", "hours", "interrupted", "exhausted"]
MAX_FAILURES_IN_A_ROW = 5
_LOG = logging.getLogger(__name__)
SEARCH = Budget("search")

__all__ = ["Campaign", "CampaignError", "Ending", "SearchInterruptedError"]


class SearchInterruptedError(RuntimeError):
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
        constraints: Constraints | None = None,
        watch: Callable[[Progress], None] | None = None,
    ) -> None:
        """Take the parts; `watch` is called after every step with the same Progress object.

        Candidates are scored on the items of `budget`, all search items or some of them, and the best of them on those
        of `further` where a worker would be idle. The space's landmarks come
        first, then further `landmarks`. The constraints learn from them, so they must hold those that they name.
        """
        self._archive = archive
        self._space = space
        self._optimiser = optimiser
        self._constraints = Constraints() if constraints is None else constraints
        self._judge = Judge(estimator, self._constraints, SEARCH.split)
        self._pool = pool
        self._limits = limits
        self._budget = budget
        self._landmarks = landmarks
        self._incumbents = Incumbents(archive, estimator, further)
        self._watch = watch
        self._progress = Progress(limits.evaluations)
        self._pending: dict[int, Candidate] = {}
        self._queue: deque[Candidate] = deque()
        self._n_asked = 0
        self._n_proposals = 0
        self._failures_in_a_row = 0
        self._draining = False
        self._broken: CampaignError | None = None

    @property
    def utilisation(self) -> Utilisation:
        """How much of the workers' time this session has used."""
        return self._progress.utilisation

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
        self._replay()
        self._queue.extend(self._pending.values())
        started, before, done_before = time.monotonic(), self._progress.seconds, self._progress.done
        if self._n_asked == 0:
            self._ask_landmarks()
        self._refill()
        in_flight, now = 0, started
        while True:
            in_flight += self._submit()
            in_flight += self._fill(in_flight)
            if in_flight == 0:
                return self._ending()
            arrived = self._pool.wait()
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
            self._progress.left = self._time_left(pace)
            if self._watch is not None:
                self._watch(self._progress)

    def _replay(self) -> None:
        """Bring a fresh optimiser to the state in which the archive was left."""
        for event in self._archive.history():
            if isinstance(event, Asked):
                if event.requested is not None:
                    check_replayed(event, self._optimiser.ask(event.requested))
                    self._n_proposals += len(event.candidates)
                self._n_asked += len(event.candidates)
                self._pending.update((c.number, c) for c in event.candidates)
            else:
                self._learn([recorded_outcome(record, self._pending[record.number]) for record in event.records])
                self._progress.seconds += sum(record.seconds for record in event.records) / max(1, self._pool.workers)
        self._progress.latest = []

    def _ask_landmarks(self) -> None:
        landmarks = [*self._space.landmarks(), *self._landmarks][: self._limits.evaluations]
        candidates = [Candidate(i, landmark.recipe, landmark.name) for i, landmark in enumerate(landmarks)]
        self._enqueue(candidates, requested=None)

    def _ask(self, n: int) -> bool:
        """Ask for up to n genomes; return whether there were any."""
        genomes = self._optimiser.ask(n)
        if not genomes:
            return False
        candidates = [
            Candidate(self._n_asked + i, self._space.decode(genome), None, self._n_proposals + i, genome)
            for i, genome in enumerate(genomes)
        ]
        self._n_proposals += len(genomes)
        self._enqueue(candidates, requested=n)
        return True

    def _enqueue(self, candidates: list[Candidate], requested: int | None) -> None:
        self._archive.asked(candidates, requested)
        self._n_asked += len(candidates)
        self._pending.update((c.number, c) for c in candidates)
        self._queue.extend(candidates)

    def _refill(self) -> None:
        """Ask for as many genomes as workers wait for one; none before constraints can judge them."""
        while not self._closing() and self._judge.ready:
            n = min(self._pool.free - len(self._queue), self._limits.evaluations - self._n_asked)
            if n <= 0 or not self._ask(n):
                return

    def _submit(self) -> int:
        """Give the queue to the free workers; return how many candidates were submitted."""
        submitted = 0
        while self._queue and self._pool.free > 0 and not self._closing():
            self._pool.submit(self._queue.popleft(), self._budget)
            submitted += 1
        return submitted

    def _fill(self, in_flight: int) -> int:
        """While the optimiser waits for others, let idle workers score the front further; return how many do."""
        filled = 0
        while self._pending and in_flight + filled < self._pool.workers and self._pool.free > 0:
            job = None if self._closing() or self._queue else self._incumbents.next_job()
            if job is None:
                break
            self._pool.submit(*job)
            filled += 1
        return filled

    def _receive(self, arrived: list[Done]) -> None:
        """Commit what arrived, then learn from it."""
        for done in arrived:
            if done.candidate.number not in self._pending:
                self._incumbents.receive(done)
        arrived = [done for done in arrived if done.candidate.number in self._pending]
        if not arrived:
            self._progress.latest = []
            return
        judged = [self._judge.estimate(done) for done in arrived]
        self._archive.told([(done, estimate) for done, estimate, _ in judged])
        self._learn([outcome for _, _, outcome in judged])
        for _, _, outcome in judged:
            if isinstance(outcome, Failure):
                _LOG.warning("candidate %d failed (%s): %s", outcome.candidate.number, outcome.stage, outcome.reason)
            self._failures_in_a_row = self._failures_in_a_row + 1 if isinstance(outcome, Failure) else 0
            if isinstance(outcome, Failure) and self._failures_in_a_row == MAX_FAILURES_IN_A_ROW:
                self._draining = True
                self._broken = CampaignError(
                    f"{MAX_FAILURES_IN_A_ROW} different candidates failed in a row; the last one (candidate "
                    f"{outcome.candidate.number}) at stage {outcome.stage}: {outcome.reason}. Everything is saved: "
                    "mend the cause and run the same command again"
                )

    def _learn(self, outcomes: list[Outcome]) -> None:
        was_ready = self._judge.ready
        if (landmark := self._judge.learn(outcomes)) is not None:
            self._draining = True
            self._broken = CampaignError(
                f"{landmark.label} failed, and a constraint (at_least) is measured by it: mend the cause, or write a "
                "number for at_least, and start a new run directory"
            )
        outcomes = [self._judge.judged(outcome) for outcome in outcomes]
        proposed = [outcome for outcome in outcomes if outcome.candidate.proposal is not None]
        if proposed:
            self._optimiser.tell(proposed)
        progress = self._progress
        progress.latest = outcomes
        if self._judge.ready and not was_ready:
            progress.best = self._judge.best_landmark()
        for outcome in outcomes:
            del self._pending[outcome.candidate.number]
            progress.done += 1
            if isinstance(outcome, Failure):
                progress.failures += 1
                continue
            self._incumbents.learn(outcome)
            if progress.best is None or rank(outcome) < rank(progress.best):
                progress.best = outcome

    def _closing(self) -> bool:
        return self._draining or self._out_of_time()

    def _out_of_time(self) -> bool:
        return self._limits.hours is not None and self._progress.seconds >= 3600 * self._limits.hours

    def _time_left(self, pace: float) -> float:
        left = pace * (self._limits.evaluations - self._progress.done)
        if self._limits.hours is None:
            return left
        return max(0.0, min(left, 3600 * self._limits.hours - self._progress.seconds))

    def _ending(self) -> Ending:
        if self._broken is not None:
            raise self._broken
        if self._draining:
            return "interrupted"
        if self._progress.done >= self._limits.evaluations:
            return "evaluations"
        return "hours" if self._out_of_time() else "exhausted"
