"""The signals of a task's answers: how far each is from being wrong, beside whether it is right.

Of a question with choices it is the margin of its log-likelihoods, as the task's metric normalises them, by the
requests that the question asks anyway: no further pass. Of a prompt with one right answer, which models write, it is
the log-likelihood of that answer, which is asked for beside.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from fitness.engine.language_model import Answer, Request
from fitness.protocols import AnyTask, TellingTask
from fitness.signals import signal_task
from fitness.tasks.contents import contents_of
from fitness.tasks.groups import groups_said


class Asking(Protocol):
    """How signals are asked for and scored."""

    def requests(self, item_id: str) -> Sequence[Request]:
        """Return what is asked of a model for an item's signal."""
        ...

    def score(self, item_id: str, answers: Sequence[Answer]) -> float:
        """Return an item's signal, from the answers to these requests; the higher, the surer of what is right."""
        ...


@runtime_checkable
class HasSignals(Protocol):
    """A task whose answers may have signals."""

    def signals(self) -> Asking | None:
        """Return how they are had; None where the task's metric has none."""
        ...


class AnswerSignals:
    """The signals of a task's answers, each beside the item that it is of; a `ScorableTask`."""

    metric = "signal"

    def __init__(self, task: AnyTask, asking: Asking) -> None:
        self.name = signal_task(task.name)
        self.measured = task
        self.item_ids = task.item_ids
        self.asks = contents_of(task)
        self.group_of = groups_said(task)
        self._asking = asking

    def requests(self, item_id: str) -> Sequence[Request]:
        """Return what is asked for an item's signal."""
        return self._asking.requests(item_id)

    def score(self, item_id: str, answers: Sequence[Answer]) -> float:
        """Return an item's signal."""
        return self._asking.score(item_id, answers)

    def item_text(self, item_id: str) -> str:
        """Return what the item says, and that its signal is meant."""
        told = self.measured.item_text(item_id) if isinstance(self.measured, TellingTask) else ""
        return json.dumps([self.metric, told])


def signals_of(task: AnyTask) -> AnswerSignals | None:
    """Return the signals of a task's answers; None where it has none."""
    asking = task.signals() if isinstance(task, HasSignals) else None
    return None if asking is None else AnswerSignals(task, asking)
