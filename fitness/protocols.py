"""The protocols of this package: tasks, scoring a model on their items, and turning scores into objectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from fitness.engine.language_model import Answer, Request
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


class NamedTask(Protocol):
    """What any task tells of itself."""

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


class ScorableTask(NamedTask, Protocol):
    """Items with requests to a language model, and a score for its answers."""

    def requests(self, item_id: str) -> Sequence[Request]:
        """Return what the item asks of a model; always the same."""
        ...

    def score(self, item_id: str, answers: Sequence[Answer]) -> float:
        """Return the item's score from the answers to its requests, higher is better."""
        ...


@runtime_checkable
class TellingTask(NamedTask, Protocol):
    """A task that tells what its items say, so that a change of them is noticed."""

    def item_text(self, item_id: str) -> str:
        """Return all that an item says, its right answer included."""
        ...


@runtime_checkable
class ModelTask(NamedTask, Protocol):
    """Items that are scored by running the model itself, whatever kind of model it is."""

    def score_model(self, model: nn.Module, item_ids: Sequence[str]) -> Sequence[float]:
        """Return the model's scores of some items, in their order, higher is better.

        Raises:
            FitnessError: the model cannot be scored.
        """
        ...


AnyTask = ScorableTask | ModelTask
