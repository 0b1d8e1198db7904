"""What answers cost in generated tokens: the items of a task that generates, scored by the length of its answers.

The engine generates once for both: a completion and its length are one prompt of a plan.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeGuard

from fitness.engine.language_model import Answer, Completion, CompletionLength
from fitness.protocols import AnyTask, ModelTask, ScorableTask, TellingTask
from fitness.tasks.contents import contents_of
from fitness.tasks.groups import groups_said


class GeneratedTokens:
    """Minus the tokens that a task's answers take, an end token included; a `ScorableTask`.

    Its items have the same ids, ask the same and so are of the same splits, each beside the one that it measures. An
    item that asks for several completions has the sum of their lengths. Where a task ends a completion early (a
    JSONL item of exact match as soon as it can be told from the right answer), what it would have written more is not
    counted.
    """

    metric = "-tokens"

    def __init__(self, task: ScorableTask) -> None:
        self.name = f"{task.name.partition(':')[0]}:tokens"  # as of another measure of the same items
        self.measured = task
        self.item_ids = task.item_ids
        self.asks = contents_of(task)
        self.group_of = groups_said(task)

    def requests(self, item_id: str) -> Sequence[CompletionLength]:
        """Return what the task asks to be written, to be measured."""
        return [CompletionLength(asked) for asked in self.measured.requests(item_id) if isinstance(asked, Completion)]

    def score(self, item_id: str, answers: Sequence[Answer]) -> float:
        """Return minus the tokens of all answers."""
        del item_id
        return -float(sum(answer for answer in answers if isinstance(answer, int)))

    def item_text(self, item_id: str) -> str:
        """Return what the measured item says, and that its answers are measured."""
        told = self.measured.item_text(item_id) if isinstance(self.measured, TellingTask) else ""
        return json.dumps([self.metric, told])


def asks(task: AnyTask) -> TypeGuard[ScorableTask]:
    """Return whether a task asks a language model."""
    return not isinstance(task, ModelTask)


def generates(task: AnyTask) -> bool:
    """Return whether a task lets models write answers."""
    return not isinstance(task, ModelTask) and any(
        isinstance(asked, Completion) for item in task.item_ids for asked in task.requests(item)
    )
