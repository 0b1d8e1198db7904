"""The fitness of a campaign: tasks of any source, split, scored by one engine."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fitness.engine.language_model import Answer, LanguageModel, Plan, Request
from fitness.errors import FitnessError
from fitness.scores import Budget, ItemScores, Split
from fitness.splits import Splits

if TYPE_CHECKING:
    from torch import nn

_N_PLANS = 16  # racing asks for many different sets of items


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


class TaskSuite:
    """Scores models on the items of several tasks; implements `Fitness`.

    Args:
        tasks: with unique names.
        splits: of their items (see `Splits.draw`).
        language_model: the engine.

    Raises:
        FitnessError: two tasks have the same name, or the splits hold an item that no task has.
    """

    def __init__(self, tasks: Sequence[ScorableTask], *, splits: Splits, language_model: LanguageModel) -> None:
        self._scorer = ItemScorer(tasks, language_model)
        self._splits = splits
        unknown = set(splits.item_ids) - self._scorer.task_of.keys()
        if unknown:
            raise FitnessError(f"splits: expected items of the tasks, found {min(unknown)!r}")

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Every item of every split, `task/item`, in the campaign's seeded order."""
        return self._splits.item_ids

    @property
    def splits(self) -> Splits:
        """Which item belongs to which split."""
        return self._splits

    @property
    def task_of(self) -> dict[str, str]:
        """Item id -> task name."""
        return {item: task.name for item, (task, _) in self._scorer.task_of.items()}

    def prepare(self, split: Split) -> None:
        """Make all items of a split ready, so that the first evaluation need not.

        Raises:
            FitnessError: the engine cannot take an item, for example because it is too long.
        """
        self._scorer.plan(self._splits.select(Budget(split)))

    def evaluate(self, model: nn.Module, budget: Budget) -> ItemScores:
        """Score the budget's items, in its order (see `Fitness.evaluate`)."""
        return self._scorer.score(model, self._splits.select(budget))


class ItemScorer:
    """Scores any items of some tasks; keeps the plans of the item sets it was last asked for."""

    def __init__(self, tasks: Sequence[ScorableTask], language_model: LanguageModel) -> None:
        names = [task.name for task in tasks]
        for name in names:
            if names.count(name) > 1:
                raise FitnessError(f"tasks: expected unique names, found {name!r} {names.count(name)} times")
        self.task_of = {f"{task.name}/{item}": (task, item) for task in tasks for item in task.item_ids}
        self._language_model = language_model
        self._plans: OrderedDict[tuple[str, ...], tuple[Plan, list[int]]] = OrderedDict()

    def score(self, model: nn.Module, items: tuple[str, ...]) -> ItemScores:
        """Return the items' scores, in their order.

        Raises:
            FitnessError: a score is not finite.
        """
        plan, ends = self.plan(items)
        answers = plan.answer(model)
        scores = np.empty(len(items))
        for i, (item, (start, end)) in enumerate(zip(items, pairwise(ends), strict=True)):
            task, local_id = self.task_of[item]
            scores[i] = task.score(local_id, answers[start:end])
        return ItemScores(items, scores)

    def plan(self, items: tuple[str, ...]) -> tuple[Plan, list[int]]:
        """Return the plan of the items' requests, and where each item's answers end, from 0."""
        if items in self._plans:
            self._plans.move_to_end(items)
            return self._plans[items]
        requests: list[Request] = []
        ends = [0]
        for item in items:
            task, local_id = self.task_of[item]
            requests.extend(task.requests(local_id))
            ends.append(len(requests))
        try:
            plan = self._language_model.plan(requests)
        except FitnessError:
            self._name_the_item(items)
            raise
        self._plans[items] = plan, ends
        if len(self._plans) > _N_PLANS:
            self._plans.popitem(last=False)
        return self._plans[items]

    def _name_the_item(self, items: Sequence[str]) -> None:
        """Raise the engine's error with the first item that causes it."""
        for item in items:
            task, local_id = self.task_of[item]
            try:
                self._language_model.plan(task.requests(local_id))
            except FitnessError as error:
                raise FitnessError(f"item {item!r}: {error}") from error


@dataclass(frozen=True)
class TaskResult:
    """One model's result on all items of one task.

    Attributes:
        task: its name.
        metric: what is measured; a leading minus marks a measure that is negated.
        value: mean item score, higher is better.
        stderr: standard error of `value` over the items; None for a single item, which shows no spread.
        seconds: wall time of scoring, preparation aside.
        scores: per item.
    """

    task: str
    metric: str
    value: float
    stderr: float | None
    seconds: float
    scores: ItemScores


def evaluate_tasks(
    model: nn.Module, tasks: Sequence[ScorableTask], *, language_model: LanguageModel
) -> list[TaskResult]:
    """Score a model on all items of each task, without splits.

    Raises:
        FitnessError: two tasks have the same name, or a score is not finite.
    """
    scorer = ItemScorer(tasks, language_model)
    results = []
    for task in tasks:
        items = tuple(f"{task.name}/{item}" for item in task.item_ids)
        scorer.plan(items)
        start = time.perf_counter()
        scores = scorer.score(model, items)
        seconds = time.perf_counter() - start
        n = len(items)
        stderr = float(scores.values.std(ddof=1)) / n**0.5 if n > 1 else None
        results.append(TaskResult(task.name, task.metric, float(scores.values.mean()), stderr, seconds, scores))
    return results
