"""Racing: with whom each candidate races, who waits for others, and what is made of one that was stopped.

A candidate's rivals are fixed when it is asked, by what had been told before: a resumed campaign, which replays that,
submits it against the same ones. Whom candidates race is in `rivals`, where a generation is cut in `screen`, `rungs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evomerge.archive import Archive
from evomerge.campaign.rivals import Rivals
from evomerge.campaign.roster import Roster
from evomerge.campaign.rotation import Rotation
from evomerge.campaign.rungs import Rungs
from evomerge.campaign.screen import Screen, ScreenPlan
from evomerge.candidate import Candidate, Done, Evaluation, Outcome, Scored
from fitness.paired_estimate import paired_estimate
from fitness.racing import RaceRules
from fitness.scores import Budget, Estimate, ItemScores, Stopped


@dataclass(frozen=True)
class RacingPlan:
    """Who need not answer every item.

    Attributes:
        rules: of the races.
        rungs: items after which a generation is cut, ascending; for generational optimisers only.
        keep: share of a generation that goes on from a rung, in (0, 1].
        rotate: generations after which the next items take the place of a candidate's; None: never. For optimisers
            that remember nothing (CMA-ES) or say what (`Remembering`).
        all_items: what the next items are taken from, in their order; the first are the budget's.
        screen: comes before the first item; None: nothing does. For generational optimisers only.
    """

    rules: RaceRules
    rungs: tuple[int, ...] = ()
    keep: float = 0.5
    rotate: int | None = None
    all_items: tuple[str, ...] = ()
    screen: ScreenPlan | None = None


class Racing:
    """The races of a campaign.

    Args:
        archive: keeps the scores of those who wait.
        budget: what candidates are scored on; with a plan its items are listed.
        plan: None: every candidate answers every item.
    """

    def __init__(self, archive: Archive, budget: Budget, plan: RacingPlan | None = None) -> None:
        if plan is not None and budget.items is None:
            raise ValueError("racing: expected a budget that lists its items, found None")
        self._budget = budget
        self._rules = None if plan is None else plan.rules
        self._entered: dict[int, tuple[Evaluation, ...]] = {}
        if plan is None:
            self._rivals, self.rungs, self.rotation = Rivals(None), Rungs(archive), Rotation(archive)
            self.screen = Screen(archive)
            return
        weights = plan.rules.weights
        self._rivals = Rivals(weights)
        self.rungs = Rungs(archive, plan.rungs, keep=plan.keep, weights=weights)
        self.screen = Screen(archive, plan.screen, n_rungs=len(plan.rungs))
        self.rotation = Rotation(archive, plan.all_items, len(budget.items or ()), plan.rotate)

    @property
    def is_on(self) -> bool:
        """Whether some candidates may not answer every item."""
        return self._rules is not None

    def waits_for(self, roster: Roster) -> bool:
        """Return whether proposals wait for landmarks: they are the first rivals, whichever is scored first."""
        return self._rules is not None and roster.landmarks_pending

    def enter(self, candidates: Sequence[Candidate], generation: int | None) -> None:
        """Fix the rivals of candidates that are asked now; landmarks have none.

        Args:
            candidates: just asked.
            generation: what tells their generation from others; None for an optimiser without generations.
        """
        proposed = [candidate for candidate in candidates if candidate.proposal is not None]
        if self._rules is None or not proposed:
            return
        self.screen.enter(proposed, generation)
        self.rungs.enter(generation)
        self.rotation.enter(generation)
        for candidate in proposed:
            self._entered[candidate.number] = self._rivals.now(generation)

    def budget(self, candidate: Candidate) -> Budget:
        """Return what a candidate is scored on next, and against whom."""
        if (next_items := self.rotation.budget(candidate.number)) is not None:
            return next_items
        items, rivals = self._budget.items, self._entered.get(candidate.number, ())
        # All have the budget's items: one tuple of them travels to a worker, not one for each.
        raced = tuple(ItemScores(items, rival.scores.values) for rival in rivals) if items is not None else ()
        whole = replace(self._budget, rivals=raced) if raced else self._budget
        return self.screen.budget(candidate, self.rungs.budget(candidate, whole))

    def recover(self, pending: Mapping[int, Candidate]) -> None:
        """Take up the scores with which pending candidates waited when the campaign ended."""
        self.screen.recover(pending)
        self.rungs.recover(pending)

    def hold(self, arrived: Sequence[Done]) -> list[Done]:
        """Keep those that come from the screen or to a rung, or were measured anew; return those to be told."""
        return self.rungs.hold(self.screen.hold(self.rotation.take(arrived)))

    def waits(self, number: int) -> bool:
        """Return whether a candidate waits for the others of its generation."""
        return self.screen.waits(number) or self.rungs.waits(number)

    def estimate(self, scored: Scored) -> Estimate:
        """Return the estimate of a candidate that lost: its rival's, plus the difference on the items it answered."""
        assert scored.lost is not None
        return self._paired(scored, self._entered[scored.candidate.number][scored.lost.rival], scored.lost.reason)

    def at_rung(self, scored: Scored, plain: Callable[[], Estimate]) -> Estimate:
        """Return the estimate of a candidate in case that it does not go on from its rung.

        Args:
            scored: what it has answered.
            plain: makes the estimate from that alone, which is taken where the candidate has no rival.
        """
        rivals = self._entered[scored.candidate.number]
        if rivals:
            return self._paired(scored, rivals[0], "rung")
        estimate, n_items = plain(), len(scored.scores.item_ids)
        return replace(estimate, stopped=Stopped("rung", None, n_items, self.rungs.shortfall(-estimate.mean)))

    @property
    def elites(self) -> set[int]:
        """Numbers of the candidates that the next generation would race."""
        return {rival.candidate.number for rival in self._rivals.next()}

    def turn(self, outcomes: Sequence[Outcome]) -> None:
        """Go over to the next items, on which these outcomes are."""
        self._budget = replace(self._budget, items=self.rotation.turn())
        self._rivals.renew([outcome for outcome in outcomes if isinstance(outcome, Evaluation)])

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Take in what the campaign was told."""
        if self._rules is None:
            return
        self._rivals.learn(outcomes)
        self.screen.learn(outcomes)
        self.rungs.learn(outcomes)
        for outcome in outcomes:
            self._entered.pop(outcome.candidate.number, None)

    def _paired(self, scored: Scored, rival: Evaluation, reason: Literal["worse", "hopeless", "rung"]) -> Estimate:
        assert self._rules is not None
        scores, rules = scored.scores, self._rules
        estimate = paired_estimate(
            scores, rival.scores, rival.estimate, objectives=rules.objectives, task_of=rules.task_of
        )
        shortfall = self.rungs.shortfall(rules.race([rival.scores]).shortfall(scores, 0))
        return replace(estimate, stopped=Stopped(reason, rival.candidate.number, len(scores.item_ids), shortfall))
