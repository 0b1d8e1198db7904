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

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from fitness.engine.language_model import Completion, Continuation, NextTokens, Request, WholeText
from fitness.errors import FitnessError
from fitness.estimation import Objective
from fitness.scores import Budget, ItemScores
from fitness.screening.experts import Experts, Prompt
from fitness.splits import Splits
from fitness.tasks.divergence import DivergenceTask
from fitness.tasks.suite import TaskSuite

if TYPE_CHECKING:
    from torch import nn

_PREFIX = "screen:"
ANSWER_TOKENS = 8  # that the expert writes after a prompt, at most; of a text without a question, places that are read


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
        self._language_model = suite.language_model
        self._experts = Experts(suite.language_model, tuple(parents), tuple(checkpoints), dict(experts))
        self._suite: TaskSuite | None = None

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Every item, `screen:TASK/ITEM`."""
        return tuple(_PREFIX + item for item in self._prompts)

    @property
    def budget(self) -> Budget:
        """All items."""
        return Budget("search", self.item_ids)

    @property
    def task_of(self) -> dict[str, str]:
        """Item id -> name of the campaign's task whose prompt it is."""
        return {_PREFIX + item: task for item, task in self._task_of.items()}

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
                weights.append(objective.weight or 0.0)
        return float(np.average(means, weights=weights if any(weights) else None))

    def learn(self, become: Callable[[str], nn.Module]) -> None:
        """Let the experts answer, unless they have; `become` returns a live model, maybe the same module each time."""
        if self._suite is not None:
            return
        expert_of = self._experts.of_tasks(self._prompts, self._task_of, become)
        tasks = []
        for expert in dict.fromkeys(expert_of.values()):
            model = become(expert)
            prompts = {item: p for item, p in self._prompts.items() if expert_of[self._task_of[item]] == expert}
            asked = self._experts.along(model, prompts)
            answers = dict(zip(asked, self._experts.answers(model, list(asked.values())), strict=True))
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


def draw_prompts(
    suite: TaskSuite, objectives: Sequence[Objective], n: int, *, most_tokens: int = ANSWER_TOKENS
) -> dict[str, Prompt]:
    """Return search item -> its prompt, for the first n in the seeded order.

    Objectives take turns, as the tasks of one objective do, so that each has its share. Items without a prompt, those
    of Python tasks, are left out. A prompt is answered in at most so many tokens.
    """
    task_of = suite.task_of
    prompts: dict[str, Prompt] = {}
    of_task: dict[str, list[str]] = {}
    for item in suite.splits.items["search"]:
        prompt = _prompt(suite.requests(item), most_tokens)
        if prompt is not None:
            prompts[item] = prompt
            of_task.setdefault(task_of[item], []).append(item)
    turns = _turns([list(_turns([of_task.get(task, []) for task in o.tasks])) for o in objectives])
    return {item: prompts[item] for item in list(dict.fromkeys(turns))[:n]}


def _turns(queues: Sequence[Sequence[str]]) -> Iterator[str]:
    for one_of_each in zip_longest(*queues):
        yield from (item for item in one_of_each if item is not None)


def _prompt(requests: Sequence[Request], most_tokens: int) -> Prompt | None:
    """Return what an item's first request lets a model read; None where that is nothing.

    The choices of a question share it; where they do not (Winogrande), the first stands for all.
    """
    match requests[0] if requests else None:
        case Completion() as request:
            length = min(request.max_new_tokens, most_tokens)
            return replace(request, max_new_tokens=length, sampling=None) if request.prompt else None
        case Continuation(context, _) if context.strip():
            # Spaces at the end belong to what follows.
            return Completion(context.rstrip(" "), stop=("\n",), max_new_tokens=most_tokens)
        case Continuation(_, text) | WholeText(text):
            return NextTokens(text, most_tokens)
        case NextTokens(text, n_positions):
            return NextTokens(text, min(n_positions, most_tokens))
    return None
