"""What a model costs by itself, whatever it is asked: an exact number, the same on every split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fitness.costs import Cost
from fitness.scores import SPLITS

if TYPE_CHECKING:
    from torch import nn


class ModelCost:
    """Minus a cost of the model itself; a `ModelTask` with one item for each split.

    Args:
        cost: an exact one.
        measure: returns it of a live model, finite.
    """

    item_ids: tuple[str, ...] = SPLITS

    def __init__(self, cost: Cost, measure: Callable[[nn.Module], float]) -> None:
        self.name, self.metric = f"cost:{cost}", f"-{cost}"
        self._measure = measure

    def score_model(self, model: nn.Module, item_ids: Sequence[str]) -> list[float]:
        """Return minus the cost, for each item (see `ModelTask.score_model`)."""
        return [0.0 - self._measure(model)] * len(item_ids)
