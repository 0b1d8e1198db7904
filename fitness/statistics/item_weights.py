"""What each item and each group of items adds to a macro-average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitness.estimation import Objective, TaskLayout
from fitness.scores import mean_weights
from fitness.typing import Floats


@dataclass(frozen=True)
class ItemWeights:
    """The weights of items in the weighted mean of objectives, and which items come together.

    Items of one group (questions on one passage, paraphrases, turns) are right or wrong together, so that they are
    drawn, and counted, as one.
    """

    task: NDArray[np.intp]  # (n_items,) number of each item's task; n_tasks where no objective uses it
    n_items: Floats  # (n_tasks,) items per task
    of_items: Floats  # (n_items,) shares in the mean, at least 0; they sum to 1
    group: NDArray[np.intp]  # (n_items,) number of each item's group
    n_groups: Floats  # (n_tasks,) groups per task
    of_objectives: Floats  # (n_objectives, n_items) what each objective adds to `of_items`
    exact: NDArray[np.bool_]  # (n_items,) whether an item is a number of the model itself, without error

    @classmethod
    def of(
        cls,
        items: Sequence[str],
        objectives: Sequence[Objective],
        task_of: Mapping[str, str],
        group_of: Mapping[str, str],
    ) -> ItemWeights:
        """Return the shares of items; one that `group_of` does not name is a group of its own."""
        layout = TaskLayout.of(items, objectives, task_of)
        weights = np.array(mean_weights([objective.weight for objective in objectives]))
        of_tasks = (weights / weights.sum())[:, None] * layout.weights / layout.n_items
        of_objectives = np.hstack([of_tasks, np.zeros((len(objectives), 1))])[:, layout.task_index]
        group = _numbered(items, group_of)
        pairs = np.unique(layout.task_index * len(items) + group) // len(items)
        n_groups = np.bincount(pairs, minlength=len(layout.n_items) + 1)[: len(layout.n_items)].astype(np.float64)
        of_items, exact = of_objectives.sum(axis=0), np.append(layout.exact, False)[layout.task_index]
        return cls(layout.task_index, layout.n_items, of_items, group, n_groups, of_objectives, exact)

    def per_group(self, values: Floats) -> Floats:
        """Return (n_groups,) sums of (n_items,) values."""
        return np.bincount(self.group, weights=values).astype(np.float64)

    def of_tasks(self, values: Floats) -> Floats:
        """Return (n_tasks + 1,) means of (n_items,) values; the last, of items that no objective uses, is 0."""
        sums = np.bincount(self.task, weights=values, minlength=len(self.n_items) + 1)[: len(self.n_items)]
        return np.append(sums / self.n_items, 0.0)

    def mean(self, values: Floats) -> float:
        """Return the mean of (n_items,) values by their weights."""
        of_tasks = np.bincount(self.task, weights=self.of_items, minlength=len(self.n_items) + 1)
        return float(of_tasks @ self.of_tasks(values) / of_tasks.sum())

    def residuals(self, values: Floats) -> Floats:
        """Return (n_items,) shares times deviations from the task's mean; their squared sum estimates a variance.

        With G groups in a task they are larger by sqrt(G / (G - 1)). A task of one group shows no spread: there they
        are shares times values, but of what is exact 0.
        """
        several = self.n_groups > 1
        larger = np.append(np.sqrt(self.n_groups / np.maximum(self.n_groups - 1, 1)), 1.0)[self.task]
        means = np.where(np.append(several, False), self.of_tasks(values), 0.0)[self.task]
        found: Floats = np.where(self.exact, 0.0, self.of_items * larger * (values - means))
        return found

    def largest(self, chosen: NDArray[np.bool_]) -> tuple[float, float]:
        """Return the share of one item, and of one group, that decides most: of the chosen items.

        Of each objective it is the mean over its items (groups), weighted by the shares: tasks of one objective are
        taken together, else one of few items would stand for all of them.
        """
        item = group = 0.0
        for of_objective in self.of_objectives * chosen:
            if total := float(of_objective.sum()):
                together = self.per_group(of_objective)
                item = max(item, float((of_objective**2).sum()) / total)
                group = max(group, float((together**2).sum()) / total)
        return item, group

    def sizes(self, chosen: NDArray[np.bool_]) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
        """Return tasks' shares with how many independent items each has; with how many groups. Of the chosen items."""
        shares = self.of_items * chosen
        of_tasks = np.bincount(self.task, weights=shares).astype(np.float64)
        used = of_tasks > 0
        items, groups = (
            of_tasks[used] ** 2 / np.bincount(self.task, weights=shares * of_events)[used]
            for of_events in (shares, self.per_group(shares)[self.group])
        )
        return (of_tasks[used], items), (of_tasks[used], groups)


def _numbered(items: Sequence[str], group_of: Mapping[str, str]) -> NDArray[np.intp]:
    """Return (n_items,) numbers of groups; an item that is in none is one of its own."""
    if not group_of:
        return np.arange(len(items))
    names = [group_of.get(item) for item in items]
    keys = [("item", item) if name is None else ("group", name) for item, name in zip(items, names, strict=True)]
    number = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys], dtype=np.intp)
