"""The two protocols of this room: scoring a model, and turning scores into objectives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from fitness.scores import Budget, Estimate, ItemScores

if TYPE_CHECKING:
    from torch import nn


class Fitness(Protocol):
    """Scores a model item by item; the same weights and budget always give the same scores."""

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Every item of every split, `task/item`, in the campaign's seeded order."""
        ...

    def evaluate(self, model: nn.Module, budget: Budget) -> ItemScores:
        """Return the scores of the budget's items, in the budget's order.

        Raises:
            FitnessError: an item is not of the budget's split, or a score is not finite.
        """
        ...


class Estimator(Protocol):
    """Turns item scores into the campaign's objectives."""

    def estimate(self, scores: ItemScores, *, shares: Mapping[str, float] | None = None) -> Estimate:
        """Return every objective with its standard error.

        Args:
            scores: of one candidate, on items of one split.
            shares: parent -> share in the merge, for estimators that can use it; None: not known.

        Raises:
            FitnessError: an objective has no item among the scores, or the items are of several splits.
        """
        ...
