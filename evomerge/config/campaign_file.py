"""The campaign file: read with every error at once, with its key and line; changed by the command line; written.

Nothing else is loaded: neither torch nor a model.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from evomerge.config.campaign_config import CampaignConfig
from evomerge.config.errors import ConfigError, ConfigProblem
from evomerge.config.overrides import Overrides, parsed, with_overrides
from evomerge.config.sections import ParentConfig
from evomerge.config.steering import steering_problems
from evomerge.config.yaml_document import Document, parse_yaml, read_yaml, write_yaml
from evomerge.fields import MOST_EVALUATIONS, MOST_WORKERS
from evomerge.wording import in_words, told

S = TypeVar("S", bound=BaseModel)
# What every stage says for itself, or leaves to its defaults: at the top it would be read by none.
OWN_SECTIONS = ("space", "optimiser")


def load_campaign(
    path: Path,
    *,
    text: str | None = None,
    overrides: Overrides = (),
    files_must_exist: bool = True,
    models_must_exist: bool = True,
) -> CampaignConfig:
    """Read and check a campaign file; paths become absolute, hub ids and names of lm-eval tasks stay as they are.

    Args:
        path: the YAML file.
        text: what it would hold, if it were written; None: what it holds.
        overrides: keys to set before it is checked, see `with_overrides`.
        files_must_exist: whether to check that directories and task files are there; False reads the record of a
            campaign whose inputs may have moved.
        models_must_exist: the same of models alone, whose paths become absolute all the same.

    Raises:
        ConfigError: everything that is wrong with the file, at once.
    """
    document = read_yaml(path) if text is None else parse_yaml(text, path)
    if not isinstance(document.data, dict):
        expected = "a mapping with at least the keys parents and objectives"
        raise ConfigError(path, [ConfigProblem("", 1, expected, in_words(document.data))])
    default = path.absolute().parent.name or "campaign" if path.stem == "campaign" else path.stem
    data = {"name": default, **document.data}
    document = replace(document, data=with_overrides(data, overrides))
    if files_must_exist and (folder := str(path.absolute().parent)) not in sys.path:
        sys.path.append(folder)  # plug-ins beside the file; installed ones come first
    try:
        directory = path.parent if files_must_exist else None
        return _checked(document, directory, models_must_exist=models_must_exist)
    except ConfigError as error:
        problems = [_where_it_was_said(problem, overrides) for problem in error.problems]
        raise ConfigError(path, problems) from error.__cause__


def campaign_of(data: Mapping[str, Any], directory: Path | None = None) -> CampaignConfig:
    """Return the campaign that plain data describe, by the same checks as a file's.

    Args:
        data: what a campaign file would hold, options of spaces and optimisers as objects or mappings.
        directory: relative paths start here, and must exist; None: nothing is checked to exist.

    Raises:
        ConfigError: everything that is wrong, at once.
    """
    return _checked(Document(data), directory)


def _checked(document: Document, directory: Path | None, *, models_must_exist: bool = True) -> CampaignConfig:
    problems, cause = [*document.duplicates, *steering_problems(document)], None
    context = None if directory is None else {"directory": directory, "models_must_exist": models_must_exist}
    try:
        config = CampaignConfig.model_validate(document.data, context=context)
        problems += _stage_problems(config, document)
    except ValidationError as error:
        cause = error
        problems += _problems_of(error, document)
    if problems:
        raise ConfigError(None, problems) from cause
    return config


def _problems_of(error: ValidationError, document: Document, at: tuple[str | int, ...] = ()) -> list[ConfigProblem]:
    return [ConfigProblem(*document.locate((*at, *loc)), *words) for loc, words in told(error, CampaignConfig)]


def _where_it_was_said(problem: ConfigProblem, overrides: Overrides) -> ConfigProblem:
    """Return a problem of a key that was set beside the file without a line of the file."""
    dotted = problem.key.replace("[", ".").replace("]", "").replace("optimizer", "optimiser")
    for key, _, text in parsed(overrides):
        if f"{dotted}.".startswith(f"{key.replace('optimizer', 'optimiser')}."):
            hint = f"{problem.hint}; " if problem.hint else ""
            return replace(problem, line=None, hint=f"{hint}it was set by {text}")
    return problem


def read_campaign(text: str) -> CampaignConfig:
    """Return the resolved config that `dump_campaign` wrote, whether or not its inputs are still there."""
    return CampaignConfig.model_validate(parse_yaml(text).data)


def overridden(config: CampaignConfig, *, evaluations: int | None = None, workers: int | None = None) -> CampaignConfig:
    """Return the config with what the command line said; None keeps what the file says.

    Args:
        config: a campaign as loaded.
        evaluations: candidates to score, at least 1; in every stage.
        workers: how many, at least 1; more than one makes them a Ray pool.

    Raises:
        ConfigError: anything but a whole number of at least 1.
    """
    for argument, value, most in (("evaluations", evaluations, MOST_EVALUATIONS), ("workers", workers, MOST_WORKERS)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            problem = ConfigProblem(argument, None, "a whole number, at least 1", in_words(value))
            raise ConfigError(None, [problem])
        if value is not None and value > most:
            raise ConfigError(None, [ConfigProblem(argument, None, f"a number of at most {most:,}", in_words(value))])
    changes: dict[str, object] = {}
    if evaluations is not None:
        changes["budget"] = _changed(config.budget, evaluations=evaluations)
        changes["stages"] = tuple(
            stage if stage.budget is None else _changed(stage, budget=_changed(stage.budget, evaluations=evaluations))
            for stage in config.stages
        )
    if workers is not None:
        # On Ray a worker scores one candidate at a time.
        pool: dict[str, object] = {"min": None, "max": None}
        if workers > 1:
            pool |= {"backend": "ray", "together": None}
        changes["workers"] = _changed(config.workers, count=workers, **pool)
    return _changed(config, **changes)


def _changed(section: S, **changes: object) -> S:
    return section.model_copy(update=changes)


def dump_campaign(config: CampaignConfig) -> str:
    """Return YAML, every default written out, that `load_campaign` reads back as an equal config."""
    return write_yaml(config.model_dump())


def joined_config(config: CampaignConfig, merges: Mapping[str, str]) -> CampaignConfig:
    """Return the campaign with its merges among the parents; `merges` are their directories by name."""
    everyone = tuple(parent.name for parent in config.parents)
    joined = [
        ParentConfig(model=merges[merge.name], name=merge.name, merge_of=merge.parents or everyone)
        for merge in config.merges
    ]
    data = {**_said(config), "parents": [*config.parents, *joined], "merges": ()}
    return CampaignConfig.model_validate(data) if joined else config


def _said(config: CampaignConfig) -> dict[str, Any]:
    """Return the sections that are not left out: what is left out suits the others, and an archive may know it."""
    return {key: value for key, value in config if key in config.model_fields_set}


def merge_stand_ins(config: CampaignConfig) -> dict[str, str]:
    """Return the directories of merges as long as there are none: the first parent, which has their form."""
    return {merge.name: config.parents[0].model for merge in config.merges}


def stage_config(config: CampaignConfig, index: int, winners: Mapping[str, str]) -> CampaignConfig:
    """Return the campaign of one stage, as if it stood alone in its file."""
    stage = config.stages[index]
    models = {name: ParentConfig(model=path, name=name) for name, path in winners.items()}
    models |= {parent.name: parent for parent in config.parents}
    own = {"space": stage.space, "optimiser": stage.optimiser, "budget": stage.budget, "schedule": stage.schedule}
    left_out = OWN_SECTIONS if config.schedule.kind != "all_items" else (*OWN_SECTIONS, "schedule")
    data: dict[str, Any] = {
        **{key: value for key, value in _said(config).items() if key not in left_out},
        **{key: section for key, section in own.items() if section is not None},
        **{"name": f"{config.name}, {stage.name}", "stages": ()},
        "parents": [models[name] for name in _merged(config, index)],
    }
    return CampaignConfig.model_validate(data)


def stand_ins(config: CampaignConfig, index: int) -> dict[str, str]:
    """Return the winners before a stage as long as there are none: the first parent, which has their form."""
    return {stage.name: config.parents[0].model for stage in config.stages[:index]}


def _stage_problems(config: CampaignConfig, document: Document) -> list[ConfigProblem]:
    assert isinstance(document.data, dict)
    top = [key for key in OWN_SECTIONS if config.stages and key in document.data]
    problems = [
        ConfigProblem(*document.locate((key,)), "no such key beside stages", in_words(key), "every stage has its own")
        for key in top
    ]
    joined = joined_config(config, merge_stand_ins(config))
    for index in range(len(config.stages)):
        try:
            stage_config(joined, index, stand_ins(joined, index))
        except ValidationError as error:
            problems += _problems_of(error, document, at=("stages", index))
    return problems


def _merged(config: CampaignConfig, index: int) -> list[str]:
    chosen = config.stages[index].parents
    if chosen is not None:
        return list(dict.fromkeys(chosen))
    last = [config.stages[index - 1].name] if index else []
    return [*last, *(parent.name for parent in config.parents)]
