"""Which objectives' answers come with signals."""

from __future__ import annotations

from collections.abc import Sequence

from evomerge.config.objectives import ObjectiveConfig
from fitness.errors import FitnessError
from fitness.protocols import AnyTask
from fitness.tasks.answer_signals import AnswerSignals, signals_of


def signal_tasks(
    objectives: Sequence[ObjectiveConfig], tasks_of: Sequence[Sequence[AnyTask]]
) -> tuple[AnswerSignals, ...]:
    """Return the signals that objectives ask for, of each task once.

    Args:
        objectives: of the campaign.
        tasks_of: each one's tasks.

    Raises:
        FitnessError: an answer has none.
    """
    found: dict[str, AnswerSignals] = {}
    for objective, tasks in zip(objectives, tasks_of, strict=True):
        for task in tasks if objective.signal is not None else ():
            signals = signals_of(task)
            if signals is None:
                raise FitnessError(
                    f"objective {objective.name!r}: signal: {objective.signal}: expected questions with choices scored "
                    "by acc, acc_norm, acc_bytes or acc+margin, or JSONL items of exact match, "
                    f"found task {task.name!r} ({task.metric}); leave signal out"
                )
            found.setdefault(signals.name, signals)
    return tuple(found.values())
