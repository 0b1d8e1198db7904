"""Which tasks each objective is the mean of: what a cost measures is found here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evomerge.config.objectives import ObjectiveConfig
from fitness.errors import FitnessError
from fitness.protocols import AnyTask, ModelTask
from fitness.tasks.generated_tokens import GeneratedTokens, generates


def measured_tasks(
    objectives: Sequence[ObjectiveConfig], loaded: Mapping[str, Sequence[AnyTask]]
) -> list[tuple[AnyTask, ...]]:
    """Return each objective's tasks, in the order of the objectives; equal ones are the same object.

    Raises:
        FitnessError: a cost has nothing to measure.
    """
    asked = list(dict.fromkeys(s for o in objectives if o.cost is None for s in o.tasks))
    made: dict[str, GeneratedTokens] = {}
    return [
        tuple(task for source in o.tasks for task in loaded[source])
        if o.cost is None
        else _tokens(o, [task for source in o.tasks or asked for task in loaded[source]], made)
        for o in objectives
    ]


def _tokens(
    objective: ObjectiveConfig, tasks: Sequence[AnyTask], made: dict[str, GeneratedTokens]
) -> tuple[AnyTask, ...]:
    """Return tasks that measure the answers of others: one for all measures of the same items."""
    asking = [task for task in tasks if not isinstance(task, ModelTask)]
    found = [GeneratedTokens(task) for task in asking if objective.tasks or generates(task)]
    silent = [task.measured.name for task in found if not generates(task.measured)]
    silent += [task.name for task in tasks if isinstance(task, ModelTask) and objective.tasks]
    if silent or not found:
        what = f"found {silent[0]!r}, which asks for none" if silent else f"found none in {_named(tasks)}"
        raise FitnessError(
            f"objective {objective.name!r}: cost: tokens: expected a task whose answers are generated, {what}; name "
            "one in its `tasks`, as a JSONL file of {prompt, answer} lines or a task of lm-eval's that generates, or "
            "leave the objective out"
        )
    return tuple(dict.fromkeys(made.setdefault(task.name, task) for task in found))


def _named(tasks: Sequence[AnyTask]) -> str:
    names = [task.name for task in tasks]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
