"""Constraints on objectives: at least a number, or at least what a landmark reaches on search items.

The values that bounds refer to are read from told landmarks, in a running campaign and from its archive alike, so a
resumed search and a later report judge every candidate as the search did.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace

import numpy as np
from numpy.typing import ArrayLike

from evomerge.archive import Archive, ArchiveError
from evomerge.campaign.progress import rank
from evomerge.candidate import Evaluation, Outcome
from evomerge.config.bounds import Bound
from fitness.costs import COSTS, shown
from fitness.scores import Estimate

NOTE = "constraints"
# Sums of floats such as 0.6 - 0.01 may miss a value that equals them.
_ROUNDING = 1e-9


class Constraints:
    """The bounds of a campaign, and what is known of the landmarks that they refer to.

    Args:
        bounds: any number of them.
    """

    def __init__(self, bounds: Sequence[Bound] = ()) -> None:
        self.bounds = tuple(bounds)
        self._known: dict[str, Estimate] = {}
        self._landmarks: list[Evaluation] = []
        self.ready = not self.missing  # whether candidates can be judged
        self.failed: str | None = None  # a landmark that is missing for good

    @staticmethod
    def of(archive: Archive) -> Constraints:
        """Return an archive's constraints with everything that its landmarks say; empty where it has none."""
        constraints = Constraints(archive.parsed(NOTE, _noted_bounds) or ())
        if constraints.bounds:
            labels = {candidate.number: candidate.label for candidate in archive.landmarks()}
            for record in archive.records("search"):
                if record.estimate is not None:
                    constraints.expect(record.estimate, archive)
                    if record.number in labels:
                        constraints.learn(labels[record.number], record.estimate)
        return constraints

    def expect(self, estimate: Estimate, archive: Archive) -> None:
        """Raise an ArchiveError where a bound is on an objective that candidates of an archive do not have."""
        names = [objective.name for objective in estimate.objectives]
        for bound in self.bounds:
            if bound.objective not in names:
                raise ArchiveError(
                    f"{archive.path}: table campaign, row {NOTE}: expected bounds on {', '.join(names)}, "
                    f"found one on {bound.objective}; put a backup of the archive in its place"
                )

    def note(self, archive: Archive) -> None:
        """Record the bounds, for those who read the archive."""
        if self.bounds:
            # In the form of older versions where they know all of it.
            packed = [astuple(bound)[: 3 if bound.cost is None else 4] for bound in self.bounds]
            archive.note(NOTE, json.dumps(packed))

    def learn(self, label: str | None, estimate: Estimate) -> None:
        """Take in what a landmark reaches on search items; other candidates are of no interest."""
        if label is not None and label in {bound.landmark for bound in self.bounds}:
            self._known[label] = estimate

    def measure(self, outcomes: Sequence[Outcome]) -> Evaluation | None:
        """Take in what landmarks among the outcomes reach, as long as not all bounds are known.

        Returns:
            The best landmark so far, judged by the bounds that are known.
        """
        for outcome in outcomes:
            label = outcome.candidate.label
            if isinstance(outcome, Evaluation) and label is not None:
                self.learn(label, outcome.estimate)
                self._landmarks.append(outcome)
            elif label in self.missing:
                self.failed = label
        self.ready = not self.missing
        judged = [replace(landmark, violation=self.violation(landmark.estimate)) for landmark in self._landmarks]
        return min(judged, key=rank, default=None)

    @property
    def missing(self) -> set[str]:
        """Labels of the landmarks that must be scored before any candidate can be judged."""
        return {bound.landmark for bound in self.bounds if bound.landmark is not None} - self._known.keys()

    @property
    def thresholds(self) -> Mapping[Bound, float]:
        """Bound -> the least value of its objective; those whose landmark is missing are left out."""
        missing = self.missing
        return {bound: self._threshold(bound) for bound in self.bounds if bound.landmark not in missing}

    def violation(self, estimate: Estimate) -> float:
        """Return what ranks a candidate: what it misses of the bounds, plus its shortfall where it was stopped.

        0 for a candidate that was scored whole and keeps every bound, above 0 for every other.
        """
        stopped = 0.0 if estimate.stopped is None else estimate.stopped.shortfall
        return self.missed(estimate) + stopped

    def missed(self, estimate: Estimate) -> float:
        """Return the sum over the bounds of what an estimate falls short by, at least 0; 0 where all hold.

        A cost falls short by its share of the bound: tokens and layers are of other sizes than right answers. A bound
        whose landmark is missing counts as kept.
        """
        values = {objective.name: objective.value for objective in estimate.objectives}
        short = [
            (threshold - values[bound.objective]) / (1.0 if bound.cost is None else abs(threshold) or 1.0)
            for bound, threshold in self.thresholds.items()
        ]
        return math.fsum(s for s in short if s > _ROUNDING)

    def violation_of(self, archive: Archive, number: int) -> float:
        """Return what a candidate misses of the bounds as the search was told it; 0 where it was not scored."""
        if not self.bounds:
            return 0.0
        estimates = [r.estimate for r in archive.records("search") if r.number == number and r.estimate is not None]
        return self.missed(estimates[0]) if estimates else 0.0

    def described(self, violations: ArrayLike) -> list[str]:
        """Return what there is to say about constraints, a line each; nothing where there are none."""
        if not self.bounds:
            return []
        values, thresholds = np.asarray(violations, dtype=np.float64), self.thresholds
        known = {b: f" = {shown(thresholds[b], b.cost)}" if b.landmark else "" for b in thresholds}
        lines = [f"constraint: {bound}{known.get(bound, ', which is not scored yet')}" for bound in self.bounds]
        lines.append(f"{np.count_nonzero(values)} of {len(values)} scored candidates miss a constraint")
        if len(values) and values.min() > 0:
            lines.append(
                f"no candidate keeps every constraint; the front is of those that miss least ({values.min():.3f})"
            )
        return lines

    def _threshold(self, bound: Bound) -> float:
        if bound.landmark is None:
            return bound.offset
        values = {objective.name: objective.value for objective in self._known[bound.landmark].objectives}
        return values[bound.objective] + bound.offset


def _noted_bounds(text: str) -> list[Bound]:
    bounds = [Bound(str(objective), float(offset), *more) for objective, offset, *more in json.loads(text)]
    if not all(
        isinstance(bound.landmark, str | None) and (bound.cost is None or bound.cost in COSTS) for bound in bounds
    ):
        raise TypeError("expected the names of landmarks and costs")
    return bounds
