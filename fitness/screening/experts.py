"""Which checkpoint is the expert for a task, and what it writes there; right answers are not looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fitness.engine.language_model import (
    Answer,
    Completion,
    Distributions,
    LanguageModel,
    NextTokens,
    NextTokensAlong,
    Request,
)
from fitness.tasks.divergence import js_divergence

if TYPE_CHECKING:
    from torch import nn

Prompt = Completion | NextTokens


@dataclass(frozen=True)
class Experts:
    """The experts among a campaign's checkpoints.

    The expert for a task is the one that is named. Where none is, it is the parent whose predictions on the task's
    prompts differ most from those of the other checkpoints: fine-tuning changes a model on what it was tuned for.
    """

    language_model: LanguageModel  # the engine
    parents: Sequence[str]  # names of those that may be experts
    checkpoints: Sequence[str]  # names of all that they are compared with, the base among them
    named: Mapping[str, str] = field(default_factory=dict)  # task -> its expert, where that is known

    def of_tasks(
        self, prompts: Mapping[str, Prompt], task_of: Mapping[str, str], become: Callable[[str], nn.Module]
    ) -> dict[str, str]:
        """Return task -> its expert, of the tasks of some items' prompts; asks checkpoints only if it must."""
        tasks = dict.fromkeys(task_of[item] for item in prompts)
        chosen = {task: self.named[task] for task in tasks if task in self.named}
        unnamed = {item: prompt for item, prompt in prompts.items() if task_of[item] not in chosen}
        if not unnamed:
            return chosen
        asked = [NextTokens(p.prompt) if isinstance(p, Completion) else p for p in unnamed.values()]
        everyone = dict.fromkeys([*self.parents, *self.checkpoints])
        answered = {name: self.answers(become(name), asked) for name in everyone}
        for task in dict.fromkeys(task_of[item] for item in unnamed):
            places = [k for k, item in enumerate(unnamed) if task_of[item] == task]
            said = {name: _log_probabilities([answers[k] for k in places]) for name, answers in answered.items()}
            chosen[task] = most_distinct(said, self.parents)
        return chosen

    def along(self, expert: nn.Module, prompts: Mapping[str, Prompt]) -> dict[str, NextTokens | NextTokensAlong]:
        """Return item -> where others are compared with an expert, once it has written its answers: along them."""
        questions = {item: prompt for item, prompt in prompts.items() if isinstance(prompt, Completion)}
        written = dict(zip(questions, self.answers(expert, list(questions.values())), strict=True))
        places: dict[str, NextTokens | NextTokensAlong] = {}
        for item, prompt in prompts.items():
            if isinstance(prompt, NextTokens):
                places[item] = prompt
                continue
            answer = str(written[item])
            places[item] = NextTokensAlong(prompt.prompt, answer) if answer.strip() else NextTokens(prompt.prompt)
        return places

    def answers(self, model: nn.Module, requests: Sequence[Request]) -> list[Answer]:
        """Return a model's answers."""
        return self.language_model.plan(requests).answer(model) if requests else []


def most_distinct(said: Mapping[str, np.ndarray], parents: Sequence[str]) -> str:
    """Return the parent that differs most from the other checkpoints; of equally different ones the surest.

    Two checkpoints differ from each other equally, so of two parents without a base it is the surest. What each
    checkpoint said is (n_places, n_vocabulary) log-probabilities.
    """

    def rank(name: str) -> tuple[float, float]:
        others = [float(js_divergence(said[name], said[other]).mean()) for other in said if other != name]
        entropy = -float((np.exp(said[name]) * said[name]).sum(axis=-1).mean())
        return (round(float(np.mean(others)), 4) if others else 0.0, -entropy)

    return max(parents, key=rank)


def _log_probabilities(answers: Sequence[Answer]) -> np.ndarray:
    return np.concatenate([answer.log_probabilities for answer in answers if isinstance(answer, Distributions)])
