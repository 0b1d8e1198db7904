"""What answers cost in time: each item of a task asked alone, by the clock.

Unlike any other score it is not the same twice: what else the machine does counts as well.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fitness.engine.language_model import LanguageModel
from fitness.protocols import ScorableTask
from fitness.tasks.contents import contents_of
from fitness.tasks.groups import groups_said

if TYPE_CHECKING:
    from torch import nn


class AnswerSeconds:
    """Minus the seconds that a model takes for an item that is asked alone; a `ModelTask` on a task's items.

    The first item is asked twice, and timed the second time: how a model is run is found at its first answer.
    """

    metric = "-seconds"

    def __init__(self, task: ScorableTask, language_model: LanguageModel) -> None:
        self.name = f"{task.name.partition(':')[0]}:seconds"
        self.measured = task
        self.item_ids = task.item_ids
        self.asks = contents_of(task)
        self.group_of = groups_said(task)
        self._language_model = language_model

    def score_model(self, model: nn.Module, item_ids: Sequence[str]) -> list[float]:
        """Return minus the seconds of each item (see `ModelTask.score_model`)."""
        plans = [self._language_model.plan(self.measured.requests(item)) for item in item_ids]
        for plan in plans[:1]:
            plan.answer(model)
        found = []
        for plan in plans:
            began = time.perf_counter()
            plan.answer(model)
            found.append(began - time.perf_counter())
        return found
