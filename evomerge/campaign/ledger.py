"""What was asked and told in a search, and everybody who learns from it.

Every event is committed to the archive before it takes effect, so that replaying them brings a fresh ledger, with a
fresh optimiser, to the same state. Nothing here knows of workers or clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Literal, TypeVar

from evomerge.archive import Archive, Asked, Told
from evomerge.campaign.answered import Answered
from evomerge.campaign.constraints import Constraints
from evomerge.campaign.failing import FailuresInARow, without
from evomerge.campaign.incumbents import Incumbents
from evomerge.campaign.judge import Judge, rank
from evomerge.campaign.progress import Progress
from evomerge.campaign.racing import Racing
from evomerge.campaign.replay import CampaignError, check_replayed, recorded_outcome
from evomerge.campaign.roster import Roster
from evomerge.candidate import Candidate, Done, Evaluation, Failure, Outcome, Scored
from evomerge.optimisers.protocol import Generational, Optimiser, Remembering
from fitness.protocols import Estimator
from search_spaces.space import Landmark, SearchSpace

G = TypeVar("G")


class Ledger(Generic[G]):
    """The events of a search.

    Args:
        archive: where they are committed.
        space: decodes genomes.
        optimiser: fresh.
        estimator: item scores -> objectives.
        constraints: learn from the landmarks.
        racing: who need not answer every item.
        incumbents: learn of the front.
        progress: counts.

    Attributes:
        roster: who was asked, and who is pending.
        broken: what the search ends with once something is beyond repair; None while all is well.
    """

    def __init__(
        self,
        archive: Archive,
        space: SearchSpace[G],
        optimiser: Optimiser[G],
        *,
        estimator: Estimator,
        constraints: Constraints,
        racing: Racing,
        incumbents: Incumbents,
        progress: Progress,
    ) -> None:
        self._archive = archive
        self._space = space
        self._optimiser = optimiser
        self._racing = racing
        self._incumbents = incumbents
        self._progress = progress
        self._judge = Judge(estimator, racing, constraints, "search")
        self._failures = FailuresInARow()
        self._answered = Answered(archive)
        self.roster = Roster()
        self.broken: CampaignError | None = None

    def replay(self, workers: int) -> list[Candidate]:
        """Come to the state in which the archive was left; return those who were asked and have to be scored.

        Args:
            workers: how many shared the time that outcomes took.

        Raises:
            CampaignError: the optimiser does not propose again what it proposed then.
        """
        for event in self._archive.history():
            if isinstance(event, Asked):
                if event.requested is not None:
                    check_replayed(event, self._optimiser.ask(event.requested))
                self._enter(event.candidates)
                continue
            self._progress.seconds += sum(record.seconds for record in event.records) / max(1, workers)
            if isinstance(event, Told):
                self._learn([recorded_outcome(record, self.roster.pending[record.number]) for record in event.records])
            else:
                self._learn_anew([recorded_outcome(r, self._archive.candidate(r.number)) for r in event.records])
        self._racing.recover(self.roster.pending)
        return self._to_be_scored()

    def ask_landmarks(self, landmarks: Sequence[Landmark]) -> list[Candidate]:
        """Return the landmarks as the first candidates."""
        return self._asked(self.roster.landmarks(landmarks), requested=None)

    @property
    def may_ask(self) -> bool:
        """Whether the landmarks that proposals are measured by have been told, and nobody is measured anew."""
        waits = self._racing.waits_for(self.roster) or self._racing.rotation.running
        return self._judge.ready and not waits

    def ask(self, n: int) -> list[Candidate]:
        """Return up to n candidates to score: proposals, or whom the next ones are compared with, on other items."""
        if (elites := self._rotate()) is not None:
            return elites
        genomes = self._optimiser.ask(n)
        return self._asked(self.roster.proposals(genomes, self._space.decode), requested=n) if genomes else []

    def recall(self, candidate: Candidate) -> Done | None:
        """Return a candidate's scores if its recipe has been scored already; None where it has to be scored."""
        return None if self._racing.is_on else self._answered.recall(candidate, self._racing.budget(candidate))

    def tell(self, arrived: Sequence[Done]) -> None:
        """Commit what pending candidates, or those measured anew, came back with; then learn from it."""
        arrived = self._racing.hold(arrived)
        if arrived:
            outcomes = self._commit(arrived, "told")
            self._learn(outcomes)
            self._break_off(self._failures.see(outcomes))
        self._turn()

    def cut(self) -> list[Candidate]:
        """Where a whole generation waits, tell who goes no further; return the others."""
        pending = self.roster.pending
        going_on: list[Candidate] = []
        while pending and not going_on and all(map(self._racing.waits, pending)):
            if dropped := self._dropped():
                self._archive.told([(scored, evaluation.estimate) for scored, evaluation in dropped])
                self._learn([evaluation for _, evaluation in dropped])
            going_on = self._to_be_scored()
        return going_on

    def _dropped(self) -> list[tuple[Scored, Evaluation]]:
        """Return who goes no further: nobody after the screen yet, who is behind at a rung, last who was set aside."""
        rungs, screen, pending = self._racing.rungs, self._racing.screen, self.roster.pending
        if not screen.is_cut:
            screen.cut(pending)
            return []
        if not any(map(rungs.waits, pending)):
            return screen.set_aside()
        evaluations = [(scored, self._judge.at_rung(scored)) for scored in rungs.waiting()]
        return [evaluations[i] for i in rungs.cut([evaluation for _, evaluation in evaluations])]

    def _to_be_scored(self) -> list[Candidate]:
        return [c for c in self.roster.pending.values() if not self._racing.waits(c.number)]

    def _asked(self, candidates: list[Candidate], requested: int | None) -> list[Candidate]:
        self._archive.asked(candidates, requested)
        self._enter(candidates)
        return candidates

    def _enter(self, candidates: Sequence[Candidate]) -> None:
        self.roster.enter(candidates)
        self._racing.enter(candidates, self._generation_end)

    @property
    def _generation_end(self) -> int | None:
        return self._optimiser.generation_end if isinstance(self._optimiser, Generational) else None

    def _rotate(self) -> list[Candidate] | None:
        """Return whom to measure on other items before the next generation; None where the items stay."""
        rotation, between = self._racing.rotation, self.roster.n_proposals == self._generation_end
        if not rotation.due or not between or self.roster.pending:
            return None
        if self._incumbents.busy:  # who is scored further may be one of them
            return []
        remembered = self._optimiser.survivors() if isinstance(self._optimiser, Remembering) else []
        numbers = self._racing.elites | {self.roster.number_of(proposal) for proposal in remembered}
        to_score = rotation.start([self._archive.candidate(number) for number in sorted(numbers)])
        self._turn()
        return to_score or None

    def _turn(self) -> None:
        """Go over to the next items where everybody has been measured on them."""
        if (measured := self._racing.rotation.complete()) is not None:
            self._learn_anew(self._commit(measured, "retold"))
            self._incumbents.extend(measured)

    def _commit(self, arrived: Sequence[Done], kind: Literal["told", "retold"]) -> list[Outcome]:
        judged = [self._judge.estimate(done) for done in arrived]
        self._archive.told([(done, estimate) for done, estimate, _ in judged], kind=kind)
        return [outcome for _, _, outcome in judged]

    def _learn(self, outcomes: list[Outcome]) -> None:
        was_ready = self._judge.ready
        if (landmark := self._judge.learn(outcomes)) is not None:
            self._break_off(without(landmark))
        outcomes = [self._judge.judged(outcome) for outcome in outcomes]
        proposed = [outcome for outcome in outcomes if outcome.candidate.proposal is not None]
        if proposed:
            self._optimiser.tell(proposed)
        self._racing.learn(outcomes)
        self._answered.learn(outcomes)
        progress = self._progress
        if self._judge.ready and not was_ready:
            progress.best = self._judge.best_landmark()
        for outcome in outcomes:
            del self.roster.pending[outcome.candidate.number]
            progress.count(outcome)
            if isinstance(outcome, Failure):
                continue
            self._incumbents.learn(outcome)
            if progress.best is None or rank(outcome) < rank(progress.best):
                progress.best = outcome

    def _learn_anew(self, outcomes: list[Outcome]) -> None:
        """Go over to other items, on which these outcomes are."""
        outcomes = [self._judge.judged(outcome) for outcome in outcomes]
        self._racing.turn(outcomes)
        if isinstance(self._optimiser, Remembering):
            remembered = set(self._optimiser.survivors())
            self._optimiser.retell([outcome for outcome in outcomes if outcome.candidate.proposal in remembered])
        evaluations = [outcome for outcome in outcomes if isinstance(outcome, Evaluation)]
        self._progress.best = min(evaluations, key=rank, default=self._progress.best)
        self._progress.answers += sum(len(evaluation.scores.item_ids) for evaluation in evaluations)

    def _break_off(self, error: CampaignError | None) -> None:
        self.broken = error or self.broken
