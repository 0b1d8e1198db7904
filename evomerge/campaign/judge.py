"""From what a worker returns to what an optimiser is told: estimates, and violations of constraints."""

from __future__ import annotations

from dataclasses import replace

from evomerge.campaign.constraints import Constraints
from evomerge.campaign.merge_shares import merge_shares
from evomerge.campaign.racing import Racing
from evomerge.candidate import Candidate, Done, Evaluation, Failure, Outcome, Scored
from fitness.errors import FitnessError
from fitness.protocols import Estimator
from fitness.scores import Estimate, Split


class Judge:
    """Estimates candidates on one split and measures them by the constraints.

    Args:
        estimator: item scores -> objectives.
        racing: estimates candidates that were stopped.
        constraints: learn from the landmarks as they are told.
        split: the only one that scores may come from.
    """

    def __init__(self, estimator: Estimator, racing: Racing, constraints: Constraints, split: Split) -> None:
        self._estimator = estimator
        self._racing = racing
        self._constraints = constraints
        self._split = split
        self._landmarks: list[Evaluation] = []

    @property
    def ready(self) -> bool:
        """Whether every landmark that a constraint is measured by has been told."""
        return not self._constraints.missing

    def estimate(self, done: Done) -> tuple[Done, Estimate | None, Outcome]:
        """Return what to record of a finished candidate, and its outcome with the violation still open."""
        if isinstance(done, Failure):
            return done, None, done
        try:
            estimate = self._estimate(done)
            if estimate.split != self._split:
                raise FitnessError(f"split: expected items of {self._split!r} only, found {estimate.split!r}")
        except FitnessError as error:
            failure = Failure(done.candidate, "estimate", str(error), seconds=done.seconds)
            return failure, None, failure
        return done, estimate, Evaluation(done.candidate, estimate, done.scores)

    def at_rung(self, scored: Scored) -> Evaluation:
        """Return the evaluation of a candidate in case that it goes no further; its violation is of constraints alone.

        Raises:
            FitnessError: an objective has no item among its scores.
        """
        estimate = self._racing.at_rung(scored, lambda: self._plain(scored))
        return Evaluation(scored.candidate, estimate, scored.scores, self._constraints.missed(estimate))

    def _estimate(self, scored: Scored) -> Estimate:
        if scored.lost is not None:
            return self._racing.estimate(scored)
        return self._plain(scored)

    def _plain(self, scored: Scored) -> Estimate:
        return self._estimator.estimate(scored.scores, shares=merge_shares(scored.candidate.recipe))

    def learn(self, outcomes: list[Outcome]) -> Candidate | None:
        """Take in what landmarks among the outcomes say about the bounds.

        Returns:
            A failed landmark that a constraint is measured by: nothing can be judged without it. None if all is well.
        """
        missing = self._constraints.missing
        for outcome in outcomes:
            if isinstance(outcome, Failure) and outcome.candidate.label in missing:
                return outcome.candidate
            if isinstance(outcome, Evaluation) and outcome.candidate.label is not None:
                self._constraints.learn(outcome.candidate.label, outcome.estimate)
                self._landmarks.append(outcome)
        return None

    def judged(self, outcome: Outcome) -> Outcome:
        """Return the outcome with its violation."""
        if isinstance(outcome, Failure):
            return outcome
        return replace(outcome, violation=self._constraints.violation(outcome.estimate))

    def best_landmark(self) -> Evaluation | None:
        """Return the best landmark told so far; None before the first."""
        judged = [replace(e, violation=self._constraints.violation(e.estimate)) for e in self._landmarks]
        return min(judged, key=rank, default=None)


def rank(evaluation: Evaluation) -> tuple[float, float]:
    """Return what sorts the best first: whole feasible ones, then those that violate least, each by the mean."""
    return evaluation.violation, -evaluation.estimate.mean
