"""What every task's prompt looks like, whole, and what the parents answer to a few of its search items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evomerge.assembly.live_models import build_resident, parents_alone
from evomerge.assembly.parts import Parts
from fitness.errors import FitnessError
from fitness.scores import Budget
from fitness.tasks.kept_answers import Asked, unpack_answers

ASKED, SHOWN = 8, 3  # items of a task that parents answer, and that are shown


@dataclass(frozen=True)
class ParentsAnswers:
    """One task.

    Attributes:
        task: its name.
        asked: item -> what it asks.
        answers: parent -> item -> its answer, in words, and the score.
    """

    task: str
    asked: Mapping[str, Asked]
    answers: Mapping[str, Mapping[str, tuple[str, float]]]

    @property
    def caution(self) -> str:
        """What is to be said of a task that every parent gets all wrong or all right; or ""."""
        scores = {score for of_parent in self.answers.values() for _, score in of_parent.values()}
        if len(self.asked) < 2 or scores not in ({0.0}, {1.0}):
            return ""
        how = "wrong" if scores == {0.0} else "right"
        return (
            f"every parent gets all {len(self.asked)} items {how} that were tried: look at the prompt and the answers"
        )


def parents_answers(parts: Parts) -> list[ParentsAnswers]:
    """Let every parent answer a few search items of each task; nothing where no task asks a language model.

    Merges among the parents are not made yet, and answer nothing.
    """
    suite, config = parts.fitness, parts.config
    unmade = {parent.name for parent in config.parents if parent.merge_of}
    of_task: dict[str, list[str]] = {}
    for item in suite.questions(suite.splits.items["search"]):
        chosen = of_task.setdefault(suite.task_of[item], [])
        if len(chosen) < ASKED:
            chosen.append(item)
    asked = suite.asked([item for items in of_task.values() for item in items])
    if not asked:
        return []
    found: dict[str, dict[str, tuple[str, float]]] = {}
    resident = build_resident(config, parts.parents)
    for name, recipe in parents_alone(config, parts.parents).items():
        if name in unmade:
            continue
        resident.become(recipe)
        try:
            scores = suite.evaluate(resident.model, Budget("search", tuple(asked)))
        except FitnessError:  # its outputs are not finite: the table of parents says so
            continue
        said = unpack_answers(scores.answers) if scores.answers else {}
        pairs = zip(scores.item_ids, scores.values.tolist(), strict=True)
        found[name] = {item: (asked[item].chosen(said.get(item, ())), score) for item, score in pairs}
    return [
        _of_task(task, {item: asked[item] for item in items if item in asked}, found) for task, items in of_task.items()
    ]


def _of_task(
    task: str, asked: Mapping[str, Asked], found: Mapping[str, Mapping[str, tuple[str, float]]]
) -> ParentsAnswers:
    answers = {name: {item: one for item, one in of_it.items() if item in asked} for name, of_it in found.items()}
    return ParentsAnswers(task, asked, answers)
