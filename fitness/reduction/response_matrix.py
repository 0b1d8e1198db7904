"""Scores of many models on all items: what a benchmark is reduced from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fitness.errors import FitnessError
from fitness.typing import Floats


@dataclass(frozen=True, eq=False)
class ResponseMatrix:
    """Scores by model and item."""

    models: tuple[str, ...]  # (n_models,) unique names
    items: tuple[str, ...]  # (n_items,) unique ids
    scores: Floats  # (n_models, n_items), higher is better; NaN where a model was not scored
    # model -> endpoint -> its share in the merge; models whose making is not known are left out
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.scores.shape != (len(self.models), len(self.items)):
            expected = (len(self.models), len(self.items))
            raise FitnessError(f"response matrix: expected shape {expected}, found {self.scores.shape}")
        for what, names in (("model", self.models), ("item", self.items)):
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise FitnessError(f"response matrix: expected each {what} once, found {twice!r} twice")

    def with_items(self, items: Sequence[str], *, known: Collection[int] = ()) -> ResponseMatrix:
        """Return the same models on these items, in this order; those at some places are known without scores."""
        place = {item: i for i, item in enumerate(self.items)}
        if unknown := [item for i, item in enumerate(items) if item not in place and i not in known]:
            raise FitnessError(
                f"response matrix: expected a column for each of the {len(items)} search items, found none for "
                f"{len(unknown)} of them, for example {unknown[0]!r}"
            )
        scores = np.full((len(self.models), len(items)), np.nan)
        held = [i for i, item in enumerate(items) if item in place]
        scores[:, held] = self.scores[:, [place[items[i]] for i in held]]
        empty = [i for i in np.flatnonzero(~np.isfinite(scores).any(axis=0)) if i not in known]
        if empty:
            raise FitnessError(f"response matrix: expected scores of item {items[int(empty[0])]!r}, found none")
        return ResponseMatrix(self.models, tuple(items), scores, self.shares)


@dataclass(frozen=True, eq=False)
class TaskItems:
    """How items of a matrix make tasks, and tasks objectives."""

    names: tuple[str, ...]  # (n_tasks,)
    items: tuple[NDArray[np.intp], ...]  # (n_tasks,) arrays of indices into the matrix's items
    objectives: tuple[str, ...]  # (n_objectives,) names
    shares: Floats  # (n_objectives, n_tasks) share of each task in each objective; rows sum to 1
    guessing: Floats  # (n_items,) chance of a right answer by guessing; 0 where there is none

    def sizes(self, n: int) -> list[int]:
        """Return how many of n items each task gets (see `shared_out`)."""
        return shared_out(n, [len(items) for items in self.items])

    def full_scores(self, scores: Floats) -> Floats:
        """Return (n_models, n_objectives) objectives of (n_models, n_items) scores, missing ones left out."""
        by_task = np.stack([np.nanmean(scores[:, items], axis=1) for items in self.items], axis=1)
        return np.asarray(by_task @ self.shares.T)


def shared_out(n: int, counts: Sequence[int]) -> list[int]:
    """Return how many of n items each task gets: its share, at least one, at most all (largest remainder)."""
    most = np.array(counts)
    if not len(most) <= n <= most.sum():
        raise FitnessError(f"items: expected from {len(most)} (one per task) to {most.sum()} (all), found {n}")
    wanted = n * most / most.sum()
    sizes = np.maximum(1, np.floor(wanted)).astype(int)
    while sizes.sum() < n:
        sizes[int(np.argmax(np.where(sizes < most, wanted - sizes, -np.inf)))] += 1
    while sizes.sum() > n:
        sizes[int(np.argmax(np.where(sizes > 1, sizes - wanted, -np.inf)))] -= 1
    return [int(size) for size in sizes]


def bounded(scores: Floats) -> bool:
    """Return whether all scores lie in [0, 1], so that a response model can describe them."""
    seen = scores[np.isfinite(scores)]
    return bool(seen.size and seen.min() >= 0.0 and seen.max() <= 1.0)
