"""The two protocols of this room: scoring a model, and turning scores into objectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias

from fitness.scores import Budget, Estimate, ItemScores

if TYPE_CHECKING:
    from torch import nn


# Parent -> share in a merge, computed where it is needed; None: not known.
Shares: TypeAlias = Callable[[], Mapping[str, float] | None]


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

    def estimate(self, scores: ItemScores, *, shares: Shares | None = None) -> Estimate:
        """Return every objective with its standard error.

        Args:
            scores: of one candidate, on items of one split.
            shares: called by estimators that can use the shares of the merge; None: not known.

        Raises:
            FitnessError: an objective has no item among the scores, or the items are of several splits.
        """
        ...
