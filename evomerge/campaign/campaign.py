"""The campaign: one search from start to finish.

Read `Campaign.run` first. A candidate's way: ask, decode, archive.asked, schedule.items, a worker, schedule.arrived,
archive.told, optimiser.tell. Every event is committed before it takes effect: resuming replays them into a fresh
optimiser and schedule, and scores again what was asked but never told.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Generic, TypeVar

from evomerge.archive import Archive, Asked
from evomerge.campaign.constraints import Constraints
from evomerge.campaign.events import Callback, CandidateAsked, Event, SearchEnded, emit, event_of, tell_all
from evomerge.campaign.gain import Gain
from evomerge.campaign.past import (
    CampaignError,
    FailuresInARow,
    ScoreCache,
    as_it_stands,
    at_fault,
    estimated,
    not_handed_out,
    proposed,
    recorded_outcome,
    replayed,
)
from evomerge.campaign.progress import Ending, Limits, Progress
from evomerge.candidate import Candidate, Done, Evaluation, Failure, Outcome
from evomerge.optimisers.protocol import Optimiser
from evomerge.schedules.all_items import AllItems
from evomerge.schedules.protocol import Schedule
from evomerge.workers import WorkerPool
from fitness.protocols import Estimator
from fitness.scores import Budget, in_four_bytes
from search_spaces.recipes.recipe import Recipe
from search_spaces.spaces.space import Landmark, SearchSpace

G = TypeVar("G")


@dataclass(eq=False, repr=False)
class Campaign(Generic[G]):
    """Drives one optimiser over one space, and records everything.

    `run` does it all with a pool of workers. By hand it is

        while candidates := campaign.ask(2):
            campaign.tell([my_worker.evaluate(c, campaign.items(c)) for c in candidates])

    and everything is committed to the archive as in `run`.

    Attributes:
        archive: new, or of an earlier session of the same campaign.
        space: decodes genomes. Its landmarks come first.
        optimiser: fresh.
        estimator: item scores -> objectives.
        pool: the workers of `run`.
        limits: when the search ends.
        schedule: what candidates answer and who may be told; left out: every search item at once.
        landmarks: come after the space's. Constraints learn from them, so they must hold those that they name.
        constraints: on the objectives; left out: none.
        as_proposed: a landmark's recipe -> as the space writes the same merge, whose scores are known by it then; None
            where it has none.
        callbacks: called with every event, after its commit. What one raises becomes a warning.
        progress: how far it is.
    """

    archive: Archive
    space: SearchSpace[G]
    optimiser: Optimiser[G]
    _: KW_ONLY
    estimator: Estimator
    pool: WorkerPool
    limits: Limits
    schedule: Schedule = field(default_factory=AllItems)
    landmarks: Sequence[Landmark] = ()
    constraints: Constraints = field(default_factory=Constraints)
    as_proposed: Callable[[Recipe], Recipe | None] = as_it_stands
    callbacks: Sequence[Callback] = ()

    def __post_init__(self) -> None:
        self.progress = Progress(self.limits.evaluations, hours=self.limits.hours)
        self._cache = ScoreCache(self.archive, self.as_proposed)
        self._four_bytes = self.archive.in_four_bytes
        self._n_asked = self._n_proposals = 0
        self._pending: dict[int, Candidate] = {}
        self._queue: deque[Candidate] = deque()  # to be scored
        self._running: set[int] = set()  # handed out, not back yet
        self._failures = FailuresInARow()
        self._gain = Gain(self.archive, self.optimiser, self.limits.gain)
        self._fault: CampaignError | None = None  # of the optimiser or the space
        self._events: list[Event] = []  # of the transaction under way
        self._started = self._draining = self._stopped = False

    def take_back(self) -> None:
        """Queue again, before all others, whom `ask` returned and nobody told."""
        self._queue.extendleft(self._pending[number] for number in sorted(self._running, reverse=True))
        self._running.clear()

    def drain(self) -> None:
        """Hand out nothing more: `run` returns once what runs is told. For any thread, and for signal handlers."""
        self._draining = True

    def _stop(self) -> None:
        self._draining = self._stopped = True

    def items(self, candidate: Candidate) -> Budget:
        """Return what a candidate that `ask` returned has to be scored on."""
        return self.schedule.items(candidate)

    def ask(self, n: int = 1) -> list[Candidate]:
        """Return up to n candidates to score: landmarks first, then proposals, and who goes on to further items.

        None while the optimiser waits for others, and once the search is over.
        """
        if not self._started:
            self._start()
        with self.archive.transaction():
            candidates = self._next(n)
        self._settle()
        return candidates

    def tell(self, dones: Sequence[Done]) -> None:
        """Take in what candidates that `ask` returned came back with.

        Raises:
            CampaignError: one was never asked, or told already; nothing is taken in. Or the search cannot go on.
        """
        if not self._started:
            self._start()
        numbers = [done.candidate.number for done in dones]
        if len(self._running.intersection(numbers)) < len(numbers):
            raise not_handed_out(numbers, self._running)
        with self.archive.transaction():
            self._receive(dones)
        self._settle()

    def run(self) -> Ending:
        """Search until a limit, `drain`, or five different candidates failing in a row.

        Whom `ask` returned before and nobody told is scored first.
        """
        self.take_back()
        candidates = self.ask(self.pool.free)
        progress, started, said = self.progress, time.monotonic(), False
        before, now, progress.workers = progress.seconds, started, self.pool.workers
        while True:
            for candidate in candidates:
                if self._closing():  # a callback may have said so: it stays pending
                    self._running.remove(candidate.number)
                else:
                    self.pool.submit(candidate, self.schedule.items(candidate))
            if not self._running:
                ending = self.limits.ending(progress)
                if self._draining:
                    ending = "stopped" if self._stopped else "interrupted"
                emit([SearchEnded(ending, progress)], self.callbacks)
                return ending
            if self._draining and not (said or self._stopped):
                said = True
                tell_all(
                    self.callbacks, "stopping: waiting for the candidates that are running (again to stop at once)"
                )
            arrived = [done for done in self.pool.wait() if done.candidate.number in self._running]
            then, now = now, time.monotonic()
            progress.utilisation.add(now - then, running=len(self._running), workers=self.pool.workers)
            progress.seconds = before + now - started
            with self.archive.transaction():  # one commit a step: what arrived, and what is asked now that it is known
                self._receive(arrived)
                candidates = self._next(self.pool.free)
            self._settle()

    def _start(self) -> None:
        """Come to the state in which the archive was left, and ask for the landmarks where it is new."""
        self._started = True
        self.constraints.note(self.archive)
        self._replay()
        self._gain.restore()
        self._queue.extend(self.schedule.restore(list(self._pending.values())))
        if not self._n_asked:
            named = [*self.space.landmarks(), *self.landmarks][: self.limits.evaluations]
            self._ask([Candidate(i, landmark.recipe, landmark.name) for i, landmark in enumerate(named)], None)

    def _replay(self) -> None:
        for event in replayed(self.archive, self.optimiser):
            if isinstance(event, Asked):
                self._enter(event.candidates)
            else:
                self.progress.seconds += sum(r.seconds for r in event.records) / max(1, self.pool.workers)
                self._learn([recorded_outcome(record, self._pending[record.number]) for record in event.records])
        self._events.clear()
        self._settle()

    def _next(self, n: int) -> list[Candidate]:
        # Those whose recipe was scored already are told at once.
        chosen: list[Candidate] = []
        while len(chosen) < n and not self._closing() and (self._queue or self._refill(n - len(chosen))):
            candidate = self._queue.popleft()
            self._running.add(candidate.number)
            known = self._cache.recall(candidate, self.schedule.items(candidate))
            if known is None:
                chosen.append(candidate)
            else:
                self._receive([known])
        return chosen

    def _refill(self, n: int) -> bool:
        """Queue up to n proposals; or where all wait for each other, those whom the schedule lets go on."""
        n = min(n, self.limits.evaluations - self._n_asked)
        candidates: list[Candidate] = []
        if n > 0 and self.constraints.ready:
            try:
                if self.limits.gain is None or not self._over():
                    candidates = proposed(self.optimiser, self.space, n, self._n_asked, self._n_proposals)
            except CampaignError as error:  # raised once what arrived is committed
                self._fault = error
                return False
        if candidates:
            self._ask(candidates, n)
        elif not self._running:
            stopped, going_on = self.schedule.advance()
            self._queue.extend(going_on)
            self._tell(stopped)
            return bool(going_on) or (bool(stopped) and self._refill(n))
        return bool(self._queue)

    def _over(self) -> bool:
        """Return whether the optimiser expects too little to go on."""
        progress = self.progress
        progress.converged = self._gain.look(progress.done)
        progress.gain_left = self._gain.left
        return progress.converged

    def _ask(self, candidates: Sequence[Candidate], requested: int | None) -> None:
        self.archive.asked(candidates, requested)
        self._enter(candidates)
        self._queue.extend(candidates)
        if self.callbacks:
            self._events.extend(map(CandidateAsked, candidates))

    def _enter(self, candidates: Sequence[Candidate]) -> None:
        self._n_asked += len(candidates)
        self._n_proposals += sum(candidate.proposal is not None for candidate in candidates)
        self._pending.update((candidate.number, candidate) for candidate in candidates)

    def _receive(self, arrived: Sequence[Done]) -> None:
        self._running.difference_update([done.candidate.number for done in arrived])
        if self._four_bytes:  # as the archive keeps them, so that a resume learns from the same numbers
            arrived = [d if isinstance(d, Failure) else replace(d, scores=in_four_bytes(d.scores)) for d in arrived]
        self._tell(self.schedule.arrived(arrived))

    def _tell(self, dones: Sequence[Done]) -> None:
        """Estimate, commit, and let everybody learn."""
        if not dones:
            return
        outcomes = [estimated(done, self.estimator) for done in dones]
        self.archive.told(
            [
                (outcome, None) if isinstance(outcome, Failure) else (done, outcome.estimate)
                for done, outcome in zip(dones, outcomes, strict=True)
            ]
        )
        self._failures.note(outcomes)
        self._learn(outcomes)

    def _learn(self, outcomes: Sequence[Outcome]) -> None:
        progress = self.progress
        if not self.constraints.ready:
            progress.best = self.constraints.measure(outcomes)
        outcomes = [
            replace(outcome, violation=self.constraints.violation(outcome.estimate))
            if isinstance(outcome, Evaluation) and (self.constraints.bounds or outcome.estimate.stopped)
            else outcome
            for outcome in outcomes
        ]
        everything = getattr(self.optimiser, "wants_landmarks", False)
        of_optimiser = [outcome for outcome in outcomes if everything or outcome.candidate.proposal is not None]
        if of_optimiser:
            try:
                self.optimiser.tell(of_optimiser)
            except Exception as error:
                self._fault = at_fault(self.optimiser, "tell", "None", error)
        for outcome in outcomes:
            del self._pending[outcome.candidate.number]
            progress.count(outcome)
            if isinstance(outcome, Evaluation):
                self._cache.remember(outcome)
            if self.callbacks:
                self._events.append(event_of(outcome, progress))

    def _settle(self) -> None:
        """Tell those who watch what was committed; then raise where the search is beyond repair."""
        if self._events:
            events, self._events = self._events, []
            emit(events, self.callbacks, self._stop)
        if self._fault is not None:
            raise self._fault
        if self._failures.too_many or self.constraints.failed:
            raise self._failures.error(self.constraints.failed)

    def _closing(self) -> bool:
        timed = self.limits.hours is not None
        return self._draining or self._fault is not None or (timed and self.limits.out_of_time(self.progress.seconds))
