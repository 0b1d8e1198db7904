"""Which items are learnt from, in which order, and how much each counts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fitness.errors import FitnessError
from fitness.estimation import Objective


@dataclass(frozen=True)
class Curriculum:
    """Items by task.

    Attributes:
        learnt_from: task -> items that batches are drawn from, at least one.
        held_back: task -> items that no batch holds.
        weights: task -> how much it counts.
    """

    learnt_from: Mapping[str, tuple[str, ...]]
    held_back: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, float]

    @staticmethod
    def of(items: Mapping[str, Sequence[str]], objectives: Sequence[Objective], held_back: float) -> Curriculum:
        """Hold a share of each task's items back: its last ones, at least one of two, unless the share is 0."""
        if not 0.0 <= held_back < 1.0:
            raise FitnessError(f"held_back: expected a share from 0 to below 1, found {held_back}")
        cut = {task: len(own) - _n_held(len(own), held_back) for task, own in items.items()}
        return Curriculum(
            {task: tuple(own[: cut[task]]) for task, own in items.items()},
            {task: tuple(own[cut[task] :]) for task, own in items.items()},
            _weights(objectives, list(items)),
        )

    @property
    def task_of(self) -> dict[str, str]:
        """Item -> its task, of all items, those that are learnt from first."""
        both = (self.learnt_from, self.held_back)
        return {item: task for of_task in both for task, items in of_task.items() for item in items}

    def batch(self, step: int, *, size: int | None = None, seed: int = 0) -> tuple[str, ...]:
        """Return the items of one step, `size` of each task; all of them if None, or where there are fewer.

        Every item is in one batch before any is in a second one, except for those that are too few for a batch: they
        wait for another order. The same step, size and seed give the same items, whatever was asked before.
        """
        chosen: list[str] = []
        for task, items in self.learnt_from.items():
            wanted = len(items) if size is None else min(size, len(items))
            epoch, place = divmod(step, len(items) // wanted)
            words = int.from_bytes(hashlib.sha256(task.encode()).digest()[:8], "big")  # a stream of the task's own
            order = np.random.default_rng(np.random.SeedSequence([seed, words, epoch])).permutation(len(items))
            chosen += [items[i] for i in order[place * wanted : (place + 1) * wanted]]
        return tuple(chosen)

    def weight_of(self, items: Iterable[str]) -> dict[str, float]:
        """Return item -> its share in a mean over tasks of means over items; they sum to 1."""
        of_task: dict[str, list[str]] = {}
        task_of = self.task_of
        for item in items:
            if item not in task_of:
                raise FitnessError(f"lessons: expected search items that are learnt from or held back, found {item!r}")
            of_task.setdefault(task_of[item], []).append(item)
        total = sum(self.weights[task] for task in of_task) or 1.0
        return {item: self.weights[task] / total / len(own) for task, own in of_task.items() for item in own}


def _n_held(n: int, share: float) -> int:
    return min(n - 1, max(1, round(n * share))) if share else 0


def _weights(objectives: Sequence[Objective], tasks: Sequence[str]) -> dict[str, float]:
    """Return a task's weight: its objective's, shared by the objective's tasks; equal ones where all are zero."""
    weights = dict.fromkeys(tasks, 0.0)
    for objective in objectives:
        own = [task for task in objective.tasks if task in weights]
        for task in own:
            weights[task] += (objective.weight or 0.0) / len(own)
    return weights if any(weights.values()) else dict.fromkeys(tasks, 1.0)
