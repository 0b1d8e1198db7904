"""The fitness of a campaign: tasks of any source, split, scored by one engine."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fitness.engine.language_model import Continuation, LanguageModel, Request
from fitness.errors import FitnessError
from fitness.protocols import AnyTask, ModelTask, TellingTask
from fitness.scores import Budget, ItemScores, Split
from fitness.splits import Splits
from fitness.tasks.answer_seconds import AnswerSeconds
from fitness.tasks.answer_signals import AnswerSignals
from fitness.tasks.contents import contents_of, digest_of, equal_items
from fitness.tasks.generated_tokens import GeneratedTokens
from fitness.tasks.groups import Groups, groups_said
from fitness.tasks.item_scorer import ItemScorer
from fitness.tasks.kept_answers import Asked
from fitness.tasks.labels import Labelled
from fitness.tasks.model_cost import ModelCost

if TYPE_CHECKING:
    from torch import nn

_LOG = logging.getLogger(__name__)


class TaskSuite:
    """Scores models on the items of several tasks; implements `Fitness`.

    Where a task compares with an expert, that expert must have been learnt from before: `to_learn` says what is
    missing, `learn` takes it.

    Args:
        tasks: with unique names.
        splits: of their items (see `Splits.draw`).
        language_model: the engine; None where no task asks a language model.
        keeps_answers: whether scores come with what was answered.

    Raises:
        FitnessError: two tasks have the same name, or the splits hold an item that no task has.
    """

    def __init__(
        self,
        tasks: Sequence[AnyTask],
        *,
        splits: Splits,
        language_model: LanguageModel | None,
        keeps_answers: bool = False,
    ) -> None:
        self._scorer = ItemScorer(tasks, language_model, keeps_answers=keeps_answers)
        self._tasks = tuple(tasks)
        self.language_model = language_model
        self.splits = splits
        unknown = set(splits.item_ids) - self._scorer.task_of.keys()
        if unknown:
            raise FitnessError(f"splits: expected items of the tasks, found {min(unknown)!r}")

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Every item of every split, `task/item`, in the campaign's seeded order."""
        return self.splits.item_ids

    @property
    def task_of(self) -> dict[str, str]:
        """Item id -> task name."""
        return {item: task.name for item, task in self._scorer.task_of.items()}

    @property
    def measures(self) -> dict[str, str]:
        """Task name -> what its scores measure."""
        return {task.name: task.metric for task in self._tasks}

    @cached_property
    def asked_digests(self) -> dict[str, str]:
        """Item id -> digest of what it asks, prompts and right answer aside; none of items that run the model."""
        asking = {task.name: task for task in self._scorer.task_of.values() if not isinstance(task, ModelTask)}
        return {
            f"{name}/{item}": digest_of(content)
            for name, task in asking.items()
            for item, content in contents_of(task).items()
        }

    @cached_property
    def group_of(self) -> Mapping[str, str]:
        """Item id -> its group, where that has several items (see `fitness.tasks.groups`)."""
        return Groups.of([task for task in self._tasks if not isinstance(task, AnswerSignals)]).of_items

    @cached_property
    def costs_of(self) -> Mapping[str, tuple[str, ...]]:
        """Item id -> the items that measure what answering it costs, and the answer's signal, where there are some."""
        found: dict[str, tuple[str, ...]] = {}
        for task in self._tasks:
            if isinstance(task, GeneratedTokens | AnswerSeconds | AnswerSignals):
                for item in task.item_ids:
                    question = f"{task.measured.name}/{item}"
                    if question in self._scorer.task_of:
                        found[question] = (*found.get(question, ()), f"{task.name}/{item}")
        return found

    def questions(self, items: Sequence[str]) -> tuple[str, ...]:
        """Return those of the items that measure neither answers to others (costs, signals) nor the model itself."""
        costs = {item for costs in self.costs_of.values() for item in costs}
        costs |= {item for item, task in self._scorer.task_of.items() if isinstance(task, ModelCost)}
        return tuple(item for item in items if item not in costs)

    def with_costs(self, questions: Sequence[str]) -> tuple[str, ...]:
        """Return questions of one split with the items that measure costs and signals, each after its question.

        What the model itself costs comes first.
        """
        exact = [
            f"{task.name}/{self.splits.split_of(questions)}" for task in self._tasks if isinstance(task, ModelCost)
        ]
        return (*exact, *(item for q in questions for item in (q, *self.costs_of.get(q, ()))))

    def prepare(self, split: Split) -> None:
        """Make all items of a split ready, so that the first evaluation need not."""
        self._scorer.plan(self.splits.select(Budget(split)))

    def item_digests(self) -> dict[str, dict[str, str]]:
        """Return task -> item id within it -> 16 hex digits that name what it says; empty where only ids are known."""
        return {
            task.name: {
                item: _named(task.item_text(item)) if isinstance(task, TellingTask) else "" for item in task.item_ids
            }
            for task in self._tasks
        }

    def group_digests(self) -> dict[str, str]:
        """Return task -> 16 hex digits that name which of its items come together, where it says of any."""
        said = {task.name: groups_said(task) for task in self._tasks}
        return {name: _named(repr(sorted(groups.items()))) for name, groups in said.items() if groups}

    def code_digests(self) -> dict[str, str]:
        """Return task -> 16 hex digits that name what its function says, of the functions whose text is known."""
        codes = {task.name: getattr(task, "code", "") for task in self._tasks}
        return {name: _named(code) for name, code in codes.items() if code}

    def answers_digest(self, items: Sequence[str]) -> str:
        """Return 64 hex digits that name all that these items say, their ids and right answers included."""
        says = {
            f"{task}/{item}": digest
            for task, of_task in self.item_digests().items()
            for item, digest in of_task.items()
        }
        return hashlib.sha256(repr([(item, says[item]) for item in items]).encode()).hexdigest()

    def content_digest(self, items: Sequence[str]) -> str:
        """Return 64 hex digits that name what these items ask, their ids included, not what is right."""
        digest = hashlib.sha256()
        for item in items:
            digest.update(repr((item, self._scorer.requests(item))).encode())
        return digest.hexdigest()

    def requests(self, item: str) -> tuple[Request, ...]:
        """Return what an item asks of a language model; nothing where it runs the model itself."""
        return self._scorer.requests(item)

    def asked(self, items: Sequence[str]) -> dict[str, Asked]:
        """Return item -> what it asks, for people, of those that ask a language model."""
        found = ((item, self._scorer.asked(item)) for item in items)
        return {item: asked for item, asked in found if asked is not None}

    def labelled(self, item: str) -> Labelled:
        """Return an item's right answer as text; `FitnessError` where it is not known."""
        return self._scorer.labelled(item)

    def guessing(self, items: Sequence[str]) -> NDArray[np.float64]:
        """Return (n_items,) chances of the right answer by guessing: one over the choices, 0 where there are none."""
        asked = [self._scorer.requests(item) for item in items]
        chosen = [len(a) if len(a) > 1 and all(isinstance(r, Continuation) for r in a) else 0 for a in asked]
        return np.array([1.0 / n if n else 0.0 for n in chosen])

    def evaluate(self, model: nn.Module, budget: Budget) -> ItemScores:
        """Score the budget's items, in its order (see `Fitness.evaluate`)."""
        return self._scorer.score(model, self.splits.select(budget))

    def evaluate_together(self, models: Sequence[nn.Module], budget: Budget) -> list[ItemScores | FitnessError]:
        """Score the budget's items with several models, all alive at once; what they have in common may be run once.

        Layers of an equal `layer_key`, an attribute, are the same function. Each model's result is what `evaluate`
        returns, bit for bit, or what it raises because of that model alone.
        """
        return self._scorer.score_together(models, self.splits.select(budget))

    def to_learn(self, budget: Budget) -> dict[str, tuple[str, ...]]:
        """Return expert -> those of the budget's items that it must answer before candidates are scored on them."""
        return self._scorer.to_learn(self.splits.select(budget))

    def learn(self, expert: nn.Module, items: Sequence[str]) -> None:
        """Keep an expert's answers to items of `to_learn`."""
        self._scorer.learn(expert, tuple(items))


def _named(content: str) -> str:
    # Texts may hold halves of surrogate pairs, which UTF-8 has no bytes for.
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True)
class TaskResult:
    """One model's result on all items of one task."""

    task: str  # its name
    metric: str  # what is measured; a leading minus marks a measure that is negated
    value: float  # mean item score, higher is better
    stderr: float | None  # standard error of `value` over the items; None for a single item, which shows no spread
    seconds: float  # wall time of scoring, preparation aside
    scores: ItemScores  # per item, with what was answered
    asked: Mapping[str, Asked] = field(default_factory=dict, repr=False)  # item -> what it asks, for people


def evaluate_tasks(
    model: nn.Module, tasks: Sequence[AnyTask], *, language_model: LanguageModel | None, limit: int | None = None
) -> list[TaskResult]:
    """Score a model on all items of each task, without splits.

    Args:
        model: to score.
        tasks: with unique names.
        language_model: the engine; None where no task asks a language model.
        limit: only the first items of each task; None: all.

    Raises:
        FitnessError: two tasks have the same name, or a score is not finite.
    """
    for line in equal_items(tasks):
        _LOG.warning("%s", line)
    scorer = ItemScorer(tasks, language_model, keeps_answers=True)
    results = []
    for task in tasks:
        items = tuple(f"{task.name}/{item}" for item in task.item_ids[:limit])
        scorer.plan(items)
        start = time.perf_counter()
        scores = scorer.score(model, items)
        seconds = time.perf_counter() - start
        asked = {item: one for item in items if (one := scorer.asked(item)) is not None}
        n = len(items)
        stderr = float(scores.values.std(ddof=1)) / n**0.5 if n > 1 else None
        results.append(TaskResult(task.name, task.metric, float(scores.values.mean()), stderr, seconds, scores, asked))
    return results
