"""The label-free screen: how far a candidate's answers are from those of the expert for each task.

Right answers are not looked at. On prompts of search items the expert for the task writes a few tokens, and a candidate
reads along: its score is minus the mean Jensen-Shannon divergence of its next-token distributions from the expert's,
after the prompt and after each token that the expert wrote. This is DivMerge's objective (arXiv 2509.02108) on the
expert's answers. At the prompt's end alone it says less: what tells merges apart is whether they carry an answer
through (rank correlation with accuracy +0.85 instead of +0.56, experiments/reduction/README.md).

The expert for a task is the one that its objective names. Where it names none, it is the parent whose predictions on
the task's prompts differ most from those of the other checkpoints: fine-tuning changes a model on what it was tuned
for. The other rules that need no labels fail in ways that this one does not: the mean over all parents pulls towards
parents that know nothing of the task (-0.25), the least divergence from any parent is nearly 0 for the base, which
knows nothing either, and the surest parent may be sure of wrong answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fitness.engine.language_model import (
    Answer,
    Completion,
    Distributions,
    NextTokens,
    NextTokensAlong,
    Request,
)
from fitness.errors import FitnessError
from fitness.estimation import Objective
from fitness.scores import Budget, ItemScores
from fitness.screening.prompts import Prompt, draw_prompts
from fitness.splits import Splits
from fitness.tasks.divergence import DivergenceTask, js_divergence
from fitness.tasks.suite import TaskSuite

if TYPE_CHECKING:
    from torch import nn

_PREFIX = "screen:"


class Screening:
    """Scores models by their agreement with the experts; implements `Fitness`.

    Its items are called `screen:TASK/ITEM` and belong to the split `search`.

    Args:
        suite: of the campaign; the prompts are the first of its search items.
        objectives: take turns, as the tasks of one objective do, so that each has its share of the prompts.
        n_prompts: in all, at least 1; fewer where there are fewer search items with prompts.
        parents: names of those that may be experts.
        checkpoints: names of the parents and the base.
        experts: task -> name of the checkpoint that is expert in it, where that is known.

    Raises:
        FitnessError: no search item has a prompt.
    """

    def __init__(
        self,
        suite: TaskSuite,
        objectives: Sequence[Objective],
        *,
        n_prompts: int,
        parents: Sequence[str],
        checkpoints: Sequence[str],
        experts: Mapping[str, str],
    ) -> None:
        self._objectives = tuple(objectives)
        self._prompts = draw_prompts(suite, objectives, n_prompts)
        if not self._prompts or suite.language_model is None:
            raise FitnessError(
                "schedule: expected search items with prompts for a screen, found none: Python tasks run the model "
                "themselves. Take all_items or halving"
            )
        task_of = suite.task_of
        self._task_of = {item: task_of[item] for item in self._prompts}
        self._parents = tuple(parents)
        self._checkpoints = tuple(dict.fromkeys([*parents, *checkpoints]))
        self._named = {task: experts[task] for task in self._task_of.values() if task in experts}
        self._language_model = suite.language_model
        self._suite: TaskSuite | None = None

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Every item, `screen:TASK/ITEM`."""
        return tuple(map(_screen_item, self._prompts))

    @property
    def budget(self) -> Budget:
        """All items."""
        return Budget("search", self.item_ids)

    @property
    def task_of(self) -> dict[str, str]:
        """Item id -> name of the campaign's task whose prompt it is."""
        return {_screen_item(item): task for item, task in self._task_of.items()}

    def divergence(self, scores: ItemScores) -> float:
        """Return a candidate's divergence in nats, in [0, log 2]: less is better.

        The weighted mean over objectives of the mean over their tasks of minus the item scores; objectives and tasks
        without a prompt do not count.
        """
        of_task: dict[str, list[float]] = {}
        for item, value in zip(scores.item_ids, scores.values, strict=True):
            of_task.setdefault(self.task_of[item], []).append(-value)
        means, weights = [], []
        for objective in self._objectives:
            tasks = [float(np.mean(of_task[task])) for task in objective.tasks if task in of_task]
            if tasks:
                means.append(float(np.mean(tasks)))
                weights.append(objective.weight)
        return float(np.average(means, weights=weights if any(weights) else None))

    def learn(self, become: Callable[[str], nn.Module]) -> None:
        """Let the experts answer, unless they have.

        Args:
            become: returns a checkpoint's live model, which may be the same module each time.

        Raises:
            FitnessError: an expert's outputs are not finite.
        """
        if self._suite is not None:
            return
        expert_of = self._experts(become)
        tasks = []
        for expert in dict.fromkeys(expert_of.values()):
            model = become(expert)
            prompts = {item: p for item, p in self._prompts.items() if expert_of[self._task_of[item]] == expert}
            asked = self._along(model, prompts)
            answers = dict(zip(asked, self._answers(model, list(asked.values())), strict=True))
            for task in dict.fromkeys(self._task_of[item] for item in asked):
                local = {item.removeprefix(f"{task}/"): item for item in asked if self._task_of[item] == task}
                compared = DivergenceTask(
                    _PREFIX + task, {name: (asked[item],) for name, item in local.items()}, expert=expert
                )
                for name, item in local.items():
                    compared.learn(name, [answers[item]])
                tasks.append(compared)
        splits = Splits({"search": self.item_ids})
        self._suite = TaskSuite(tasks, splits=splits, language_model=self._language_model)

    def evaluate(self, model: nn.Module, budget: Budget) -> ItemScores:
        """Return minus the divergences of the budget's items, in [-log 2, 0] (see `Fitness.evaluate`)."""
        return self._learnt.evaluate(model, budget)

    def evaluate_together(self, models: Sequence[nn.Module], budget: Budget) -> list[ItemScores | FitnessError]:
        """Return what `evaluate` returns for each model, or raises because of it."""
        return self._learnt.evaluate_together(models, budget)

    @property
    def _learnt(self) -> TaskSuite:
        if self._suite is None:
            raise FitnessError("screen: expected answers of the experts before, found none")
        return self._suite

    def _experts(self, become: Callable[[str], nn.Module]) -> dict[str, str]:
        """Return task -> the checkpoint that it is compared with."""
        unnamed = {item: p for item, p in self._prompts.items() if self._task_of[item] not in self._named}
        if not unnamed:
            return self._named
        asked = [NextTokens(p.prompt) if isinstance(p, Completion) else p for p in unnamed.values()]
        answered = {name: self._answers(become(name), asked) for name in self._checkpoints}
        chosen = dict(self._named)
        for task in dict.fromkeys(self._task_of[item] for item in unnamed):
            places = [k for k, item in enumerate(unnamed) if self._task_of[item] == task]
            said = {name: _log_probabilities([answers[k] for k in places]) for name, answers in answered.items()}
            chosen[task] = most_distinct(said, self._parents)
        return chosen

    def _along(self, model: nn.Module, prompts: Mapping[str, Prompt]) -> dict[str, NextTokens | NextTokensAlong]:
        """Return item -> where it is compared, once the expert has written its answers."""
        questions = {item: prompt for item, prompt in prompts.items() if isinstance(prompt, Completion)}
        written = dict(zip(questions, self._answers(model, list(questions.values())), strict=True))
        places: dict[str, NextTokens | NextTokensAlong] = {}
        for item, prompt in prompts.items():
            if isinstance(prompt, NextTokens):
                places[item] = prompt
                continue
            answer = str(written[item])
            places[item] = NextTokensAlong(prompt.prompt, answer) if answer.strip() else NextTokens(prompt.prompt)
        return places

    def _answers(self, model: nn.Module, requests: Sequence[Request]) -> list[Answer]:
        return self._language_model.plan(requests).answer(model) if requests else []


def most_distinct(said: Mapping[str, np.ndarray], parents: Sequence[str]) -> str:
    """Return the parent that differs most from the other checkpoints; of equally different ones the surest.

    Two checkpoints differ from each other equally, so of two parents without a base it is the surest.

    Args:
        said: checkpoint -> (n_places, n_vocabulary) log-probabilities.
        parents: names of those to choose from.
    """

    def rank(name: str) -> tuple[float, float]:
        others = [float(js_divergence(said[name], said[other]).mean()) for other in said if other != name]
        entropy = -float((np.exp(said[name]) * said[name]).sum(axis=-1).mean())
        return (round(float(np.mean(others)), 4) if others else 0.0, -entropy)

    return max(parents, key=rank)


def _screen_item(item: str) -> str:
    return _PREFIX + item


def _log_probabilities(answers: Sequence[Answer]) -> np.ndarray:
    parts = [answer.log_probabilities for answer in answers if isinstance(answer, Distributions)]
    return np.concatenate(parts)
