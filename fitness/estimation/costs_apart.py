"""Costs beside an estimator that knows none: response models are of right answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fitness.estimation.objectives import MeanEstimator, Objective
from fitness.protocols import Estimator, Shares
from fitness.scores import Estimate, ItemScores
from fitness.splits import Splits


class CostsApart:
    """Estimates costs by their means, and leaves all other objectives to another estimator; implements `Estimator`.

    Args:
        own: of the objectives that are no cost; it sees their items alone.
        objectives: of the campaign.
        task_of: item id -> task name.
        splits: tells which split scores belong to.
    """

    def __init__(
        self, own: Estimator, objectives: Sequence[Objective], *, task_of: Mapping[str, str], splits: Splits
    ) -> None:
        costs = [objective for objective in objectives if objective.cost is not None]
        tasks = {task for objective in costs for task in objective.tasks}
        self._own, self._names = own, tuple(objective.name for objective in objectives)
        self._items = frozenset(item for item, task in task_of.items() if task in tasks)
        self._costs = MeanEstimator(costs, task_of=task_of, splits=splits)

    def estimate(self, scores: ItemScores, *, shares: Shares | None = None) -> Estimate:
        """Return every objective with its standard error (see `Estimator.estimate`)."""
        is_cost = np.array([item in self._items for item in scores.item_ids], dtype=bool)
        own = self._own.estimate(_chosen(scores, ~is_cost), shares=shares)
        costs = self._costs.estimate(_chosen(scores, is_cost))
        found = {objective.name: objective for objective in (*own.objectives, *costs.objectives)}
        return Estimate(own.split, tuple(found[name] for name in self._names), own.stopped)


def _chosen(scores: ItemScores, chosen: np.typing.NDArray[np.bool_]) -> ItemScores:
    items = tuple(item for item, is_chosen in zip(scores.item_ids, chosen, strict=True) if is_chosen)
    return ItemScores(items, scores.values[chosen])
