"""Objectives, and the plain mean: what is seen on the scored items, and nothing else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitness.costs import Cost, is_exact
from fitness.errors import FitnessError
from fitness.protocols import Shares
from fitness.scores import Estimate, ItemScores, Kind, ObjectiveEstimate, Split
from fitness.splits import Splits
from fitness.typing import Floats

_N_LAYOUTS = 64  # sets of items whose places are remembered


@dataclass(frozen=True)
class Objective:
    """What the search maximises: the mean over some tasks.

    Attributes:
        name: unique within a campaign.
        tasks: at least one task name; each counts the same, however many items it has.
        weight: at least 0; matters where one number is wanted of all objectives, of which None is no part.
        cost: what it costs; None for what a model is good at.
        margin: a difference that does not matter, at least 0; None: what does not matter in any objective.
    """

    name: str
    tasks: tuple[str, ...]
    weight: float | None = 1.0
    cost: Cost | None = None
    margin: float | None = None


def check_objectives(objectives: Sequence[Objective], known_tasks: Sequence[str]) -> None:
    """Check objectives against the tasks there are."""
    if not objectives:
        raise FitnessError("objectives: expected at least one, found none")
    names = [objective.name for objective in objectives]
    for objective in objectives:
        tasks = objective.tasks
        if names.count(objective.name) > 1:
            raise FitnessError(f"objective {objective.name!r}: expected unique names, found this one twice")
        if not tasks or len(set(tasks)) != len(tasks):
            raise FitnessError(f"objective {objective.name!r}: expected different tasks, at least one, found {tasks}")
        if objective.weight is not None and not objective.weight >= 0.0:
            raise FitnessError(f"objective {objective.name!r}: expected a weight >= 0, found {objective.weight}")
        unknown = sorted(set(tasks) - set(known_tasks))
        if unknown:
            raise FitnessError(
                f"objective {objective.name!r}: expected tasks among {sorted(known_tasks)}, found {unknown[0]!r}"
            )


@dataclass(frozen=True)
class TaskLayout:
    """Where each task's items stand in a set of items, and how tasks make objectives."""

    task_index: NDArray[np.intp]  # (n_items,) number of each item's task
    n_items: Floats  # (n_tasks,) items per task, at least 1
    weights: Floats  # (n_objectives, n_tasks) share of each task in each objective; rows sum to 1
    exact: NDArray[np.bool_]  # (n_tasks,) whether a task's one item is a number of the model itself, without error

    @classmethod
    def of(cls, items: Sequence[str], objectives: Sequence[Objective], task_of: Mapping[str, str]) -> TaskLayout:
        """Lay out a set of items."""
        tasks = list(dict.fromkeys(task for objective in objectives for task in objective.tasks))
        number = {task: i for i, task in enumerate(tasks)}
        outside = len(tasks)  # items of tasks that no objective uses
        try:
            index = np.array([number.get(task_of[item], outside) for item in items], dtype=np.intp)
        except KeyError as error:
            raise FitnessError(
                f"item {error.args[0]!r}: expected an item of the campaign's tasks, found another"
            ) from None
        n_items = np.bincount(index, minlength=outside + 1)[:outside].astype(np.float64)
        for objective in objectives:
            for task in objective.tasks:
                if not n_items[number[task]]:
                    raise FitnessError(f"objective {objective.name!r}: expected items of task {task!r}, found none")
        weights = np.zeros((len(objectives), outside))
        for row, objective in enumerate(objectives):
            weights[row, [number[task] for task in objective.tasks]] = 1.0 / len(objective.tasks)
        exact = {task for objective in objectives if is_exact(objective.cost) for task in objective.tasks}
        return cls(index, n_items, weights, np.array([task in exact for task in tasks], dtype=bool))

    def moments(self, values: Floats) -> tuple[Floats, Floats]:
        """Return (n_tasks,) means of (n_items,) scores, and (n_tasks,) variances of an item's score.

        Of a task whose scores are 0 or 1 it is as if one item more had been right and one wrong, as Agresti and Coull
        add some to rates (The American Statistician 52, 1998, 119-126): right answers to all of 20 items are no
        certainty. A single item says nothing about the others: 0.25 then, the largest variance of scores in [0, 1].
        """
        n = self.n_items
        sums = self._sums(values)
        means = sums / n
        squares = self._sums((values - np.append(means, 0.0)[self.task_index]) ** 2)
        variances = squares / np.maximum(n - 1.0, 1.0)
        right_or_wrong = self._sums(((values != 0.0) & (values != 1.0)).astype(np.float64)) == 0.0
        variances = np.where(right_or_wrong, (sums + 1.0) * (n - sums + 1.0) / ((n + 2.0) * (n + 1.0)), variances)
        variances[n == 1.0] = 0.25
        variances[self.exact] = 0.0
        return means, variances

    def _sums(self, values: Floats) -> Floats:
        """Return (n_tasks,) sums of (n_items,) values."""
        found = np.bincount(self.task_index, weights=values, minlength=len(self.n_items) + 1)
        return found[: len(self.n_items)].astype(np.float64)


class MeanEstimator:
    """Objective = mean over its tasks of the mean item score; implements `Estimator`.

    The standard error is sqrt(sum over tasks of s_t^2 / n_t) / n_tasks, with s_t^2 the variance of an item's score
    (see `TaskLayout.moments`); it is above 0 where all of some items are right.

    >>> task_of = {"words/1": "words", "words/2": "words"}
    >>> splits = Splits({"search": tuple(task_of)})
    >>> estimator = MeanEstimator([Objective("words", ("words",))], task_of=task_of, splits=splits)
    >>> estimator.estimate(ItemScores(tuple(task_of), np.array([1.0, 0.0]))).mean
    0.5

    Args:
        objectives: in the campaign's order.
        task_of: item id -> task name.
        splits: tells which split scores belong to.

    Raises:
        FitnessError: the objectives are not well formed (see `check_objectives`).
    """

    def __init__(self, objectives: Sequence[Objective], *, task_of: Mapping[str, str], splits: Splits) -> None:
        check_objectives(objectives, sorted(set(task_of.values())))
        self._objectives = tuple(objectives)
        self._task_of = task_of
        self._splits = splits
        self._layouts: OrderedDict[tuple[str, ...], tuple[Split, TaskLayout, list[int], list[Kind]]] = OrderedDict()

    def estimate(self, scores: ItemScores, *, shares: Shares | None = None) -> Estimate:
        """Return every objective with its standard error (see `Estimator.estimate`)."""
        del shares
        split, layout, n_items, kinds = self._layout(scores.item_ids)
        means, variances = layout.moments(scores.values)
        values = (layout.weights @ means).tolist()
        stderrs = np.sqrt(layout.weights**2 @ (variances / layout.n_items)).tolist()
        names = [objective.name for objective in self._objectives]
        roles = [(objective.weight, objective.cost) for objective in self._objectives]
        rows = ((*row, *role) for *row, role in zip(names, values, stderrs, n_items, kinds, roles, strict=True))
        return Estimate(split, tuple(ObjectiveEstimate(*row) for row in rows))

    def _layout(self, items: tuple[str, ...]) -> tuple[Split, TaskLayout, list[int], list[Kind]]:
        known = self._layouts.get(items)
        if known is None:
            layout, split = TaskLayout.of(items, self._objectives, self._task_of), self._splits.split_of(items)
            n_items = ((layout.weights > 0) @ layout.n_items).astype(int).tolist()
            everything = TaskLayout.of(self._splits.items[split], self._objectives, self._task_of).n_items
            missing = (layout.weights > 0) @ (everything - layout.n_items)
            kinds: list[Kind] = ["estimated" if n else "full" for n in missing]
            known = self._layouts[items] = split, layout, n_items, kinds
            if len(self._layouts) > _N_LAYOUTS:
                self._layouts.popitem(last=False)
        return known
