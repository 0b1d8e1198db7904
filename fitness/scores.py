"""What scoring yields: one number per item, and objectives with standard errors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fitness.costs import Cost, is_exact
from fitness.errors import FitnessError

Split = Literal["search", "validation", "test", "final"]
SPLITS: tuple[Split, ...] = get_args(Split)
Kind = Literal["full", "estimated", "pooled"]


@dataclass(frozen=True, eq=False)
class ItemScores:
    """One score per item, higher is better.

    Attributes:
        item_ids: (n_items,) unique ids, `task/item`.
        values: (n_items,) float64, finite; in [0, 1] for accuracies. Read-only.
        answers: what was answered, packed (`fitness.tasks.kept_answers`), where somebody keeps it; no part of equality.
    """

    item_ids: tuple[str, ...]
    values: NDArray[np.float64]
    answers: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float64)
        if values.shape != (len(self.item_ids),):
            raise FitnessError(f"values: expected shape ({len(self.item_ids)},), found {values.shape}")
        finite = np.isfinite(values)
        if not finite.all():
            first = int(np.argmin(finite))
            item, value = self.item_ids[first], values[first]
            raise FitnessError(f"values: expected finite scores, found {value} at item {item!r}")
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ItemScores):
            return NotImplemented
        return self.item_ids == other.item_ids and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((self.item_ids, self.values.tobytes()))


def in_four_bytes(scores: ItemScores) -> ItemScores:
    """Return scores whose values have four bytes each: margins need no 53 bits; whole numbers stay what they are.

    >>> from fitness.scores import ItemScores, in_four_bytes
    >>> in_four_bytes(ItemScores(("t/0", "t/1"), [0.1, 134515009.0])).values.tolist()
    [0.10000000149011612, 134515009.0]
    """
    values = scores.values
    with np.errstate(over="ignore"):
        single = values.astype(np.float32).astype(np.float64)
    single = np.where((values == np.trunc(values)) | ~np.isfinite(single), values, single)
    return scores if np.array_equal(single, values) else replace(scores, values=single)


@dataclass(frozen=True)
class Budget:
    """Which items a candidate is scored on.

    Attributes:
        split: the only split that the items may come from.
        items: ids of items of that split, or None for all of them in the campaign's seeded order.
    """

    split: Split
    items: tuple[str, ...] | None = None


def item_set_digest(item_ids: Sequence[str]) -> str:
    """Return 64 hex digits that name an ordered set of items."""
    return hashlib.sha256("\n".join(item_ids).encode()).hexdigest()


@dataclass(frozen=True)
class ObjectiveEstimate:
    """One objective's value on some items.

    Attributes:
        name: the objective's name in the campaign.
        value: higher is better.
        stderr: standard error of `value` as a measure of all such items there could be, at least 0.
        n_items: how many items it rests on.
        kind: `full` when it is the mean over every item of the split, `estimated` when it rests on a part of them,
            `pooled` when on that and on what other candidates answered.
        weight: in the mean of the objectives, at least 0; 0: a guard that decides nothing but by its constraint; None:
            a part of the front and none of the mean.
        cost: what it costs, which `value` is minus of; None for what a model is good at.
    """

    name: str
    value: float
    stderr: float
    n_items: int
    kind: Kind = "full"
    weight: float | None = 1.0
    cost: Cost | None = None


def mean_weights(weights: Sequence[float | None]) -> list[float]:
    """Return each objective's share in the mean, at least 0, where their weights are these.

    Where all are 0 or None those of None are alike; where none is, all are.
    """
    if any(weights):
        return [weight or 0.0 for weight in weights]
    return [float(weight is None or None not in weights) for weight in weights]


@dataclass(frozen=True)
class Stopped:
    """Why a candidate did not answer all of its items."""

    # rung: others of its generation did better on the first items; screen: others agreed better with the experts. In
    # archives of older versions also worse and hopeless: a rival was better, or out of reach.
    reason: Literal["worse", "hopeless", "rung", "screen"]
    rival: int | None  # the number of that rival; None where there is no such one
    n_items: int  # how many items it has answered
    shortfall: float  # above 0: what it ranks by among those that were stopped, less is better


@dataclass(frozen=True)
class Estimate:
    """All objectives of one candidate on one split, in the campaign's order.

    Attributes:
        stopped: why it rests on fewer items than others; None where it does not.
    """

    split: Split
    objectives: tuple[ObjectiveEstimate, ...]
    stopped: Stopped | None = None

    @property
    def mean(self) -> float:
        """The mean of the objectives by their weights (see `mean_weights`), higher is better."""
        weights = [objective.weight or 0.0 for objective in self.objectives]
        if not all(weights):
            weights = mean_weights([objective.weight for objective in self.objectives])
        return sum(w * o.value for w, o in zip(weights, self.objectives, strict=True)) / sum(weights)

    @property
    def mean_stderr(self) -> float:
        """The standard error of the mean, at least 0; objectives are taken to rest on different items."""
        weights = mean_weights([objective.weight for objective in self.objectives])
        return math.hypot(*(w * o.stderr for w, o in zip(weights, self.objectives, strict=True) if w)) / sum(weights)

    @property
    def counting(self) -> tuple[ObjectiveEstimate, ...]:
        """The objectives whose weight is not 0, all where none is: the others are guards, and no part of a front."""
        return tuple(objective for objective in self.objectives if objective.weight != 0) or self.objectives

    @property
    def kind(self) -> Literal["full", "estimated"]:
        """`full` when every objective is."""
        return "full" if all(objective.kind == "full" for objective in self.objectives) else "estimated"

    @property
    def n_items(self) -> int:
        """How many items each objective rests on at least, exact costs aside."""
        return min([o.n_items for o in self.objectives if not is_exact(o.cost)] or [1])

    @property
    def in_words(self) -> str:
        """What it rests on: `full`, `estimated from N items`, the same and `pooled`, or `stopped after N items`."""
        n_items = self.n_items
        if self.stopped is not None:
            return f"stopped after {self.stopped.n_items} items"
        pooled = ", pooled" if any(objective.kind == "pooled" for objective in self.objectives) else ""
        return "full" if self.kind == "full" else f"estimated from {n_items} items{pooled}"
