"""Objectives, and where their tasks' items stand in a set of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitness.errors import FitnessError
from fitness.typing import Floats


@dataclass(frozen=True)
class Objective:
    """What the search maximises: the mean over some tasks.

    Attributes:
        name: unique within a campaign.
        tasks: at least one task name; each counts the same, however many items it has.
        weight: at least 0; matters where one number is wanted of all objectives.
    """

    name: str
    tasks: tuple[str, ...]
    weight: float = 1.0


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
        if not objective.weight >= 0.0:
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
        return cls(index, n_items, weights)

    def means(self, values: Floats) -> Floats:
        """Return (n_tasks,) means of (n_items,) values."""
        return self._sums(values) / self.n_items

    def square_deviations(self, values: Floats, means: Floats) -> Floats:
        """Return (n_tasks,) sums of squared deviations from the task's mean."""
        return self._sums((values - np.append(means, 0.0)[self.task_index]) ** 2)

    def _sums(self, values: Floats) -> Floats:
        n_tasks = len(self.n_items)
        return np.bincount(self.task_index, weights=values, minlength=n_tasks + 1)[:n_tasks].astype(np.float64)
