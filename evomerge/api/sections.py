"""Keyword arguments -> the campaign that a file with the same sections would be, and objects of a user's own.

Of an object (an optimiser with ask and tell, a space with decode and encode) the campaign file records the class,
`{kind: object, type: MODULE:CLASS}`; whoever resumes the search hands in the object again.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from evomerge.api.arguments import refused, several
from evomerge.config import CampaignConfig, ConfigError, ConfigProblem, campaign_of
from evomerge.errors import few_of
from evomerge.kinds import RECORDED
from evomerge.optimisers import Optimiser, OptimiserOptions
from evomerge.spaces import SpaceOptions
from evomerge.spaces.outside import FullSpace
from evomerge.wording import did_you_mean
from fitness.tasks import task_source
from fitness.tasks.python_callable import IMPORTED_FILE
from search_spaces.recipes.recipe import ParentSource
from search_spaces.spaces.space import Landmark, SearchSpace

Model: TypeAlias = str | Path | ParentSource | Mapping[str, Any]
Models: TypeAlias = Sequence[Model] | Mapping[str, Model]
TaskSource: TypeAlias = str | Path | Callable[..., Any]
Objective: TypeAlias = TaskSource | Sequence[TaskSource] | Mapping[str, Any]
Objectives: TypeAlias = Mapping[str, Objective] | Sequence[Objective]

# Keys of a campaign file that are arguments of their own.
_ARGUMENT = {"budget.evaluations": "evaluations", "workers.count": "workers"}
_KNOWN = (*CampaignConfig.model_fields, "evaluations", "run_dir", "callbacks")
_A_MODEL = "a directory, a hub id or a mapping with the key model"
_A_TASK = "a task: a file, the name of an lm-eval task or a function"


@dataclass(frozen=True)
class Given:
    """What a user handed in: objects of a search whose campaign file can only record their classes.

    Attributes:
        space: has `decode` and `encode`; None: the config names a kind of space.
        optimiser: has `ask` and `tell`, fresh; or a function that makes one of the search space; None: the config names
            a kind of optimiser.
    """

    space: Any = None
    optimiser: Any = None

    def check(self, config: CampaignConfig, where: str) -> None:
        """Do nothing if the objects are those that a config records: of their classes, and no others."""
        for section, given in (("space", self.space), ("optimiser", self.optimiser)):
            recorded = getattr(config, section)
            if recorded.kind != RECORDED:
                if given is None:
                    continue
                expected, how = f"none, as this search began with the kind {recorded.kind}", "leave it out"
            else:
                begun = getattr(recorded, "type", "a class")
                if given is not None and _recorded(given)["type"] == begun:
                    continue
                expected = f"the object of {begun} that this search began with"
                how = f"go on in Python: evomerge.load({where!r}).resume({section}=...)"
            found = "none" if given is None else repr(given) if isinstance(given, str) else _recorded(given)["type"]
            raise ConfigError(None, [ConfigProblem(section, None, expected, str(found), how)])

    def space_of(self, config: CampaignConfig) -> SearchSpace[Any] | None:
        """Return the space that was handed in, as a search uses it; None where there is none."""
        if self.space is None:
            return None
        from evomerge.assembly.live_models import alone

        return FullSpace(self.space, [Landmark(name, alone(config, name)) for name in config.sources])

    def optimiser_of(self, space: SearchSpace[Any]) -> Optimiser[Any] | None:
        """Return the optimiser that was handed in; None where there is none."""
        is_maker = self.optimiser is not None and not _is_optimiser(self.optimiser)
        made: Optimiser[Any] | None = self.optimiser(space) if is_maker else self.optimiser
        if is_maker and not _is_optimiser(made):
            expected = "a function that returns an object with ask and tell"
            raise ConfigError(None, [ConfigProblem("optimiser", None, expected, f"one that returns {made!r}")])
        return made


def campaign(
    parents: Models,
    objectives: Objectives,
    *,
    base: Model | None = None,
    space: Any = None,
    optimiser: Any = None,
    evaluations: int | None = None,
    workers: int | Mapping[str, Any] | None = None,
    **sections: Any,
) -> tuple[CampaignConfig, Given]:
    """Return the resolved campaign of `evomerge.search`'s arguments, and the objects among them."""
    optimiser = one_spelling(optimiser, sections.pop("optimizer", None))
    space, optimiser = _made(space), _made(optimiser)
    is_space = not isinstance(space, type) and hasattr(space, "decode") and hasattr(space, "encode")
    given = Given(space if is_space else None, _live(optimiser))
    budget = sections.pop("budget", None) or {}
    if not isinstance(budget, Mapping):
        raise refused("budget", "a mapping", budget)
    if evaluations is not None:
        budget = {**budget, "evaluations": evaluations}
    data = {
        "base": None if base is None else _model(base, "base"),
        "parents": _parents(parents),
        "objectives": _objectives(objectives),
        "space": _section(space if given.space is None else _recorded(space)),
        "optimiser": _section(optimiser if given.optimiser is None else _recorded(optimiser)),
        "budget": budget,
        "workers": _workers(workers),
        **sections,
    }
    if data["optimiser"] is None and given.space is not None:
        data["optimiser"] = {"kind": "cma_es" if len(data["objectives"]) == 1 else "nsga2"}
    data = {key: _plain(value, key) for key, value in data.items() if value is not None and value != {}}
    names = [str(objective.get("name")) for objective in data["objectives"]]
    try:
        return campaign_of(data, Path()), given
    except ConfigError as error:
        raise ConfigError(None, [_in_arguments(problem, names) for problem in error.problems]) from error.__cause__


def one_spelling(optimiser: Any, optimizer: Any) -> Any:
    """Return the optimiser, however its keyword was spelled."""
    if optimiser is not None and optimizer is not None:
        raise ConfigError(None, [ConfigProblem("optimizer", None, "optimiser or optimizer", "both", "leave one out")])
    return optimizer if optimiser is None else optimiser


def _made(value: object) -> object:
    """Return what a class of options stands for: the options as they are by default."""
    return value() if isinstance(value, type) and issubclass(value, SpaceOptions | OptimiserOptions) else value


def _section(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


def _live(optimiser: object) -> object:
    is_maker = callable(optimiser) and not isinstance(optimiser, OptimiserOptions)
    return optimiser if _is_optimiser(optimiser) or is_maker else None


def _is_optimiser(value: object) -> bool:
    return not isinstance(value, type) and hasattr(value, "ask") and hasattr(value, "tell")


def _recorded(value: Any) -> dict[str, object]:
    named = value if hasattr(value, "__qualname__") else type(value)
    return {"kind": RECORDED, "type": f"{named.__module__}:{named.__qualname__}"}


def _workers(value: int | Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"count": value, **({"backend": "ray"} if value > 1 else {})}
    return value if value is None or isinstance(value, Mapping) else {"count": value}


def _parents(parents: Models) -> list[object]:
    if not isinstance(parents, Mapping):
        alone = [parents] if isinstance(parents, ParentSource) else several("parents", parents, "a list of models")
        return [_model(model, f"parents[{i}]") for i, model in enumerate(alone)]
    named = ((name, _model(model, f"parents[{name!r}]")) for name, model in parents.items())
    return [{**({"model": model} if isinstance(model, str) else model), "name": name} for name, model in named]


def _model(model: Model, argument: str) -> str | dict[str, Any]:
    if isinstance(model, ParentSource):
        keys = ("model", "revision", "adapter", "adapter_revision")
        return {key: value for key in keys if (value := getattr(model, key)) is not None}
    if not isinstance(model, Mapping | str | os.PathLike):
        raise refused(argument, _A_MODEL, model)
    return dict(model) if isinstance(model, Mapping) else os.fspath(model)


def _objectives(objectives: Objectives) -> list[dict[str, Any]]:
    if isinstance(objectives, Mapping):
        named = ((name, _objective(value, f"objectives[{name!r}]")) for name, value in objectives.items())
        return [{"name": name, **objective} for name, objective in named]
    given = several("objectives", objectives, "a mapping of names and tasks, or a list of tasks")
    found = [_objective(value, f"objectives[{i}]") for i, value in enumerate(given)]
    return [{"name": _name_of(str(o["tasks"][0])), **o} if "name" not in o and o.get("tasks") else o for o in found]


def _objective(value: Objective, argument: str) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {**value, "tasks": tasks_of(value.get("tasks", ()), argument)}
    return {"tasks": tasks_of(value, argument)}


def tasks_of(value: object, argument: str) -> list[str]:
    """Return tasks as a campaign file names them; one alone is a list of one."""
    return [_task(task, argument) for task in several(argument, value, _A_TASK)]


def _task(task: TaskSource, argument: str) -> str:
    if callable(task):
        return task_of_function(task)
    if not isinstance(task, str | os.PathLike):
        raise refused(argument, _A_TASK, task)
    return os.fspath(task)


def task_of_function(function: Callable[..., Any]) -> str:
    """Return how a campaign file names a function, as `python:MODULE:FUNCTION` or `python:FILE.py:FUNCTION`."""
    name, module = getattr(function, "__qualname__", ""), getattr(function, "__module__", "")
    if module.startswith(IMPORTED_FILE):
        expected = f'the call under if __name__ == "__main__":, since the file of {name} is imported to find it'
        raise refused("objectives", expected, None)
    if module != "__main__" and getattr(sys.modules.get(module), name, None) is function:
        return f"python:{module}:{name}"
    file = inspect.getsourcefile(function) if inspect.isfunction(function) else None
    if name.isidentifier() and file and Path(file).suffix == ".py" and Path(file).is_file():
        return f"python:{Path(file).absolute()}:{name}"
    hint = "write it to a .py file and import it from there"
    raise refused("objectives", "a function of a module or of a file", function, hint)


def _name_of(task: str) -> str:
    source = task_source.TaskSource.parse(task)
    if source.kind == "python":
        return source.detail
    return Path(source.place).stem if source.is_file or source.kind == "dataset" else source.place


def _plain(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item, f"{key}.{name}") for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{key}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if value is None or isinstance(value, str | bool | int | float | SpaceOptions | OptimiserOptions):
        return value
    raise refused(key, "text, numbers, lists or mappings, as a campaign file has", value)


def _in_arguments(problem: ConfigProblem, objectives: Sequence[str]) -> ConfigProblem:
    """Return a problem with its key as the arguments have it: objectives by name, `evaluations`, `workers`."""
    if problem.key.isidentifier() and problem.key not in _KNOWN:
        hint = did_you_mean(problem.key, _KNOWN)
        return replace(problem, expected=f"one of {few_of(_KNOWN, problem.key)}", hint=hint)
    key = _ARGUMENT.get(problem.key, problem.key)
    if (found := re.match(r"objectives\[(\d+)\](.*)", key)) and int(found[1]) < len(objectives):
        key = f"objectives[{objectives[int(found[1])]!r}]{found[2]}"
    return replace(problem, key=key)
