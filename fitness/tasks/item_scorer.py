"""Scoring any items of some tasks with one engine."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from fitness.engine.language_model import Answer, LanguageModel, Plan, Request
from fitness.errors import FitnessError
from fitness.protocols import AnyTask, ModelTask
from fitness.scores import ItemScores
from fitness.tasks.divergence import DivergenceTask
from fitness.tasks.kept_answers import Asked, asked_by, has_questions, pack_answers
from fitness.tasks.labels import Labelled, labelled

if TYPE_CHECKING:
    from torch import nn

_N_PLANS = 16  # a halving asks for a block of items at a time

ItemAnswers = tuple[str, list[Answer]]


class ItemScorer:
    """Scores any items of some tasks; keeps the plans of the item sets it was last asked for."""

    def __init__(
        self, tasks: Sequence[AnyTask], language_model: LanguageModel | None, *, keeps_answers: bool = False
    ) -> None:
        names = [task.name for task in tasks]
        for name in names:
            if names.count(name) > 1:
                raise FitnessError(f"tasks: expected unique names, found {name!r} {names.count(name)} times")
        self._asking = {f"{t.name}/{i}": (t, i) for t in tasks if not isinstance(t, ModelTask) for i in t.item_ids}
        self._running = {f"{t.name}/{i}": (t, i) for t in tasks if isinstance(t, ModelTask) for i in t.item_ids}
        if self._asking and language_model is None:
            asking = next(iter(self._asking.values()))[0].name
            raise FitnessError(f"task {asking!r}: expected a model with a tokenizer, found one without")
        self._language_model, self._keeps_answers = language_model, keeps_answers
        self._plans: OrderedDict[tuple[str, ...], tuple[Plan, dict[str, int]]] = OrderedDict()

    @property
    def task_of(self) -> dict[str, AnyTask]:
        """Item id -> its task."""
        tasks: dict[str, AnyTask] = {item: task for item, (task, _) in self._asking.items()}
        return tasks | {item: task for item, (task, _) in self._running.items()}

    def requests(self, item: str) -> tuple[Request, ...]:
        """Return what an item asks of a language model; nothing where it runs the model itself."""
        if item not in self._asking:
            return ()
        task, local_id = self._asking[item]
        return tuple(task.requests(local_id))

    def asked(self, item: str) -> Asked | None:
        """Return what an item asks, for people; None where it runs the model itself, or measures another's answer."""
        task, local_id = self._asking.get(item, (None, ""))
        return asked_by(task, local_id) if task is not None and has_questions(task) else None

    def labelled(self, item: str) -> Labelled:
        """Return an item's right answer as text; `FitnessError` where it is not known."""
        if item not in self._asking:
            raise FitnessError(f"item {item!r}: expected one that asks a language model, found another")
        return labelled(*self._asking[item])

    def score(self, model: nn.Module, items: tuple[str, ...]) -> ItemScores:
        """Return the items' scores, in their order."""
        return self._scores(model, items, self._answers(model, items))

    def _answers(self, model: nn.Module, items: tuple[str, ...]) -> list[ItemAnswers]:
        plan, n_requests = self.plan(items)
        return _by_item(n_requests, plan.answer(model)) if plan else []

    def score_together(self, models: Sequence[nn.Module], items: tuple[str, ...]) -> list[ItemScores | FitnessError]:
        """Return each model's scores of the items, in their order, or what is wrong with the model."""
        plan, n_requests = self.plan(items)
        answered = plan.answer_together(models) if plan else [[] for _ in models]
        scores: list[ItemScores | FitnessError] = []
        for model, answers in zip(models, answered, strict=True):
            if isinstance(answers, FitnessError):
                scores.append(answers)
                continue
            try:
                scores.append(self._scores(model, items, _by_item(n_requests, answers)))
            except FitnessError as error:
                scores.append(error)
        return scores

    def _scores(self, model: nn.Module, items: tuple[str, ...], answered: Sequence[ItemAnswers]) -> ItemScores:
        scores: dict[str, float] = {}
        for item, answers in answered:
            task, local_id = self._asking[item]
            scores[item] = task.score(local_id, answers)
        from fitness.engine.served import plain_module  # torch is not loaded to look at scores

        for runner in dict.fromkeys(self._running[item][0] for item in items if item in self._running):
            wanted = [item for item in items if item in self._running and self._running[item][0] is runner]
            values = runner.score_model(plain_module(model), [self._running[item][1] for item in wanted])
            scores.update(zip(wanted, values, strict=True))
        questions = {item: a for item, a in answered if has_questions(self._asking[item][0])}
        kept = pack_answers(questions) if self._keeps_answers and questions else b""
        return ItemScores(items, np.array([scores[item] for item in items]), kept)

    def to_learn(self, items: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return expert -> those of the items that it has not answered yet."""
        missing: dict[str, list[str]] = {}
        for item in items:
            task, local_id = self._asking.get(item, (None, ""))
            if isinstance(task, DivergenceTask) and not task.knows(local_id):
                missing.setdefault(task.expert, []).append(item)
        return {expert: tuple(of_expert) for expert, of_expert in missing.items()}

    def learn(self, expert: nn.Module, items: tuple[str, ...]) -> None:
        """Let tasks keep an expert's answers to their items."""
        for item, answers in self._answers(expert, items):
            task, local_id = self._asking[item]
            assert isinstance(task, DivergenceTask)
            task.learn(local_id, answers)

    def plan(self, items: tuple[str, ...]) -> tuple[Plan | None, dict[str, int]]:
        """Return the plan of those items that ask, None where none does, and how many requests each of them has."""
        if items in self._plans:
            self._plans.move_to_end(items)
            return self._plans[items]
        asked = {item: self.requests(item) for item in items if item in self._asking}
        if not asked:
            return None, {}
        assert self._language_model is not None
        try:
            plan = self._language_model.plan([request for requests in asked.values() for request in requests])
        except FitnessError:
            self._name_the_item(asked)
            raise
        self._plans[items] = plan, {item: len(requests) for item, requests in asked.items()}
        if len(self._plans) > _N_PLANS:
            self._plans.popitem(last=False)
        return self._plans[items]

    def _name_the_item(self, asked: Mapping[str, Sequence[Request]]) -> None:
        """Raise the engine's error with the first item that causes it."""
        assert self._language_model is not None
        for item, requests in asked.items():
            try:
                self._language_model.plan(requests)
            except FitnessError as error:
                raise FitnessError(f"item {item!r}: {error}") from error


def _by_item(n_requests: Mapping[str, int], answers: Sequence[Answer]) -> list[ItemAnswers]:
    ends = np.cumsum([0, *n_requests.values()])
    return [(item, list(answers[start:end])) for item, (start, end) in zip(n_requests, pairwise(ends), strict=True)]
