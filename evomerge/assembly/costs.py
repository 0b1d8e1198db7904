"""Which tasks each objective is the mean of: what a cost measures is found here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evomerge.config import CampaignConfig
from evomerge.config.objectives import ObjectiveConfig
from fitness.costs import Cost, is_exact
from fitness.engine.language_model import LanguageModel
from fitness.errors import FitnessError
from fitness.protocols import AnyTask
from fitness.tasks.answer_seconds import AnswerSeconds
from fitness.tasks.generated_tokens import GeneratedTokens, asks, generates
from fitness.tasks.model_cost import ModelCost
from search_spaces.parents.parents import Parents

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Measuring:
    """What measures costs."""

    of_model: Callable[[Cost], Callable[[nn.Module], float]]  # returns what measures an exact cost
    language_model: LanguageModel | None  # that answers are timed with


def measured_tasks(
    objectives: Sequence[ObjectiveConfig], loaded: Mapping[str, Sequence[AnyTask]], measuring: Measuring
) -> list[tuple[AnyTask, ...]]:
    """Return each objective's tasks, in the order of the objectives; equal ones are the same object.

    Raises:
        FitnessError: a cost has nothing to measure.
    """
    asked = list(dict.fromkeys(s for o in objectives if o.cost is None for s in o.tasks))
    made: dict[str, AnyTask] = {}
    found = []
    for objective in objectives:
        tasks = [task for source in objective.tasks or asked for task in loaded[source]]
        if objective.cost is not None:
            tasks = [made.setdefault(task.name, task) for task in _costs(objective, tasks, measuring)]
        found.append(tuple(dict.fromkeys(tasks)))
    return found


def measure_of(config: CampaignConfig, parents: Parents, cost: Cost) -> Callable[[nn.Module], float]:
    """Return what measures an exact cost of a live model.

    Raises:
        FitnessError: models of the campaign's space have no such cost.
    """
    import torch

    from search_spaces.live.costs import FromBase, depth_of, parameters_of

    if cost in ("depth", "parameters"):
        return depth_of if cost == "depth" else parameters_of
    if config.space.has_paths or config.tokenizer == "union":
        changed = "the space is of paths" if config.space.has_paths else "tokenizer: union changes it"
        raise FitnessError(
            f"cost: {cost}: expected models of the base's shape, but {changed}; take depth or parameters"
        )
    from_base = FromBase(parents[config.base_name], getattr(torch, config.export.dtype))
    return from_base.distance if cost == "distance" else from_base.density


def _costs(objective: ObjectiveConfig, tasks: Sequence[AnyTask], measuring: Measuring) -> Sequence[AnyTask]:
    assert objective.cost is not None
    if is_exact(objective.cost):
        return [ModelCost(objective.cost, measuring.of_model(objective.cost))]
    model, counts = measuring.language_model, objective.cost == "tokens"
    fitting = [task for task in tasks if asks(task) and (generates(task) or not counts)]
    unfit = [task.name for task in tasks if task not in fitting]
    if not fitting or (objective.tasks and unfit):
        wanted = "whose answers are generated" if counts else "that asks a language model"
        raise FitnessError(
            f"objective {objective.name!r}: cost: {objective.cost}: expected tasks {wanted}, found {_named(unfit)}; "
            "name others in its `tasks`, as a JSONL file of {prompt, answer} lines or a task of lm-eval's that "
            "generates, or leave the objective out"
        )
    if counts:
        return [GeneratedTokens(task) for task in fitting]
    assert model is not None, "a task that asks has a tokenizer"
    return [AnswerSeconds(task, model) for task in fitting]


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
