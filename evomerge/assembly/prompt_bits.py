"""What parents make of a campaign's prompts: bits per byte, with which a parent that has collapsed shows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from evomerge.assembly.live_models import build_resident, parents_alone
from evomerge.assembly.parts import Parts
from fitness.engine.language_model import (
    Completion,
    Continuation,
    NextTokens,
    NextTokensAlong,
    Run,
    WholeText,
    likelihood_of,
    run_for,
)
from fitness.errors import FitnessError

MOST_PROMPTS, MOST_OF_A_TASK, MOST_CHARACTERS = 32, 8, 400
COLLAPSED = 1.5  # times the bits of the base, on every task: an expert is good at one at least


@dataclass(frozen=True)
class PromptBits:
    """Bits per byte of a few search prompts, no answers.

    Attributes:
        by_task: model -> task -> bits per byte, the base included; infinite where its outputs are not finite.
        base: the model that the others are compared with; None: each with the worst of the others.
    """

    by_task: Mapping[str, Mapping[str, float]]
    base: str | None

    def mean(self, model: str) -> float:
        """Return a model's mean over tasks."""
        found = self.by_task[model]
        return sum(found.values()) / len(found)

    def collapsed(self, model: str) -> str:
        """Return what is to be said of a model that has collapsed: it is worse than the base on every task; or ""."""
        if model not in self.by_task or model == self.base:
            return ""
        reference = self._reference(model)
        least = min(bits / max(reference[task], 1e-9) for task, bits in self.by_task[model].items())
        if not least > COLLAPSED:
            return ""
        others = [name for name in self.by_task if name != model]
        best = min(others, key=self.mean)
        beside = self.base if self.base is not None else max(others, key=self.mean)
        return (
            f"{model!r} has collapsed: {self.mean(model):.2f} bits per byte of the prompts, where {beside!r} has "
            f"{self.mean(beside):.2f} and the best, {best!r}, {self.mean(best):.2f}: leave it out"
        )

    def _reference(self, model: str) -> Mapping[str, float]:
        if self.base is not None:
            return self.by_task[self.base]
        others = [of_task for name, of_task in self.by_task.items() if name != model]
        return {task: max(of_task[task] for of_task in others) for task in self.by_task[model]}


def prompt_bits(parts: Parts) -> PromptBits | None:
    """Ask every parent for a few prompts of the search items; None where no language model reads any."""
    language_model, config = parts.fitness.language_model, parts.config
    texts = _texts(parts)
    if language_model is None or not texts:
        return None
    try:
        plan = language_model.plan([WholeText(text) for _, text in texts])
    except FitnessError:  # of a kind of model that is not asked for texts
        return None
    resident = build_resident(config, parts.parents)
    found = {}
    for name, recipe in parents_alone(config, parts.parents).items():
        if name not in parts.parents.checkpoints:
            continue
        resident.become(recipe)
        try:
            values = [likelihood_of(answer) for answer in plan.answer(resident.model)]
        except FitnessError:
            values = [-math.inf] * len(texts)
        found[name] = {task: _bits(texts, values, task) for task in dict.fromkeys(task for task, _ in texts)}
    return PromptBits(found, None if config.base is None else config.base_name) if len(found) > 1 else None


def _bits(texts: list[tuple[str, str]], values: list[float], task: str) -> float:
    of_task = [(len(text.encode()), value) for (of, text), value in zip(texts, values, strict=True) if of == task]
    return -sum(value for _, value in of_task) / math.log(2.0) / sum(size for size, _ in of_task)


def _texts(parts: Parts) -> list[tuple[str, str]]:
    """Return (task, the end of a prompt), of the first search items of every task."""
    task_of, found = parts.fitness.task_of, list[tuple[str, str]]()
    items = parts.fitness.questions(parts.fitness.splits.items["search"])
    n_tasks = len({task_of[item] for item in items})
    most = max(1, min(MOST_OF_A_TASK, MOST_PROMPTS // n_tasks))
    for item in items:
        task = task_of[item]
        requests = parts.fitness.requests(item)
        text = _prompt(run_for(requests[0]))[-MOST_CHARACTERS:] if requests else ""
        if text.strip() and sum(of == task for of, _ in found) < most:
            found.append((task, text))
    return found


def _prompt(request: Run) -> str:
    match request:
        case Continuation(context, text):
            return context or text
        case Completion(text) | WholeText(text) | NextTokens(text) | NextTokensAlong(text):
            return text
