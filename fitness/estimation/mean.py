"""The plain mean: what is seen on the scored items, and nothing else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from fitness.estimation.objectives import Objective, TaskLayout, check_objectives
from fitness.protocols import Shares
from fitness.scores import Estimate, ItemScores, Kind, ObjectiveEstimate, Split
from fitness.splits import Splits

_N_LAYOUTS = 64


class MeanEstimator:
    """Objective = mean over its tasks of the mean item score; implements `Estimator`.

    The standard error is sqrt(sum over tasks of s_t^2 / n_t) / n_tasks, with s_t the sample standard deviation (n - 1)
    of the task's item scores. One item says nothing about its task's spread: s_t = 0.5 then, the largest standard
    deviation of scores in [0, 1].

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
        means = layout.means(scores.values)
        variances = layout.square_deviations(scores.values, means) / np.maximum(layout.n_items - 1.0, 1.0)
        variances[layout.n_items == 1.0] = 0.25
        values = (layout.weights @ means).tolist()
        stderrs = np.sqrt(layout.weights**2 @ (variances / layout.n_items)).tolist()
        names = [objective.name for objective in self._objectives]
        rows = zip(names, values, stderrs, n_items, kinds, strict=True)
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
