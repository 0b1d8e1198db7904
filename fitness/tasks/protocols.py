"""What a task is: items that ask a language model, or items that run the model themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from fitness.engine.language_model import Answer, Request

if TYPE_CHECKING:
    from torch import nn


class ScorableTask(Protocol):
    """Items with requests to a language model, and a score for its answers."""

    @property
    def name(self) -> str:
        """Unique within a campaign; the first part of the items' ids, `task/item`."""
        ...

    @property
    def metric(self) -> str:
        """What a score measures; a leading minus marks a measure that is negated, so that higher is better."""
        ...

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Ids within the task."""
        ...

    def requests(self, item_id: str) -> Sequence[Request]:
        """Return what the item asks of a model; always the same."""
        ...

    def score(self, item_id: str, answers: Sequence[Answer]) -> float:
        """Return the item's score from the answers to its requests, higher is better."""
        ...


@runtime_checkable
class ModelTask(Protocol):
    """Items that are scored by running the model itself, whatever kind of model it is."""

    @property
    def name(self) -> str:
        """Unique within a campaign; the first part of the items' ids, `task/item`."""
        ...

    @property
    def metric(self) -> str:
        """What a score measures."""
        ...

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Ids within the task."""
        ...

    def score_model(self, model: nn.Module, item_ids: Sequence[str]) -> Sequence[float]:
        """Return the model's scores of some items, in their order, higher is better.

        Raises:
            FitnessError: the model cannot be scored.
        """
        ...


AnyTask = ScorableTask | ModelTask
