"""Estimates of an estimator that knows no weights, with those of the campaign: there is one mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fitness.estimation import Objective
from fitness.protocols import Estimator, Shares
from fitness.scores import Estimate, ItemScores


@dataclass(frozen=True)
class Weighed:
    """Another package's estimator with the campaign's weights; implements `Estimator`."""

    own: Estimator
    objectives: Sequence[Objective]

    def estimate(self, scores: ItemScores, *, shares: Shares | None = None) -> Estimate:
        """Return its estimate, each objective with its weight."""
        found = self.own.estimate(scores, shares=shares)
        weights = {objective.name: objective.weight for objective in self.objectives}
        return replace(found, objectives=tuple(replace(o, weight=weights.get(o.name, 1.0)) for o in found.objectives))
