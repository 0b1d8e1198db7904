"""The campaign file: read with every error at once, with its key and line; changed by the command line; written.

Nothing else is loaded: neither torch nor a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from evomerge.config.campaign_config import CampaignConfig
from evomerge.config.errors import ConfigError, ConfigProblem
from evomerge.config.overrides import Overrides, parsed, with_overrides
from evomerge.config.problems import problems_of
from evomerge.config.stages import stage_problems
from evomerge.config.yaml_document import Document, parse_yaml, read_yaml, write_yaml
from evomerge.wording import in_words

S = TypeVar("S", bound=BaseModel)


def load_campaign(path: Path, *, overrides: Overrides = (), files_must_exist: bool = True) -> CampaignConfig:
    """Read and check a campaign file; paths become absolute, hub ids and names of lm-eval tasks stay as they are.

    Args:
        path: the YAML file.
        overrides: keys to set before it is checked, see `with_overrides`.
        files_must_exist: whether to check that directories and task files are there; False reads the record of a
            campaign whose inputs may have moved.

    Raises:
        ConfigError: everything that is wrong with the file, at once.
    """
    document = read_yaml(path)
    if not isinstance(document.data, dict):
        expected = "a mapping with at least the keys parents and objectives"
        raise ConfigError(path, [ConfigProblem("", 1, expected, in_words(document.data))])
    data = {"name": _default_name(path), **document.data}
    document = replace(document, data=with_overrides(data, overrides))
    try:
        return _checked(document, path.parent if files_must_exist else None)
    except ConfigError as error:
        problems = [_where_it_was_said(problem, overrides) for problem in error.problems]
        raise ConfigError(path, problems) from error.__cause__


def campaign_of(data: Mapping[str, Any], directory: Path | None = None) -> CampaignConfig:
    """Return the campaign that plain data describe, by the same checks as a file's.

    Args:
        data: what a campaign file would hold.
        directory: relative paths start here, and must exist; None: nothing is checked to exist.

    Raises:
        ConfigError: everything that is wrong, at once.
    """
    try:
        return _checked(parse_yaml(write_yaml(data)), directory)
    except ConfigError as error:
        problems = [replace(problem, line=None) for problem in error.problems]
        raise ConfigError(None, problems) from error.__cause__


def _checked(document: Document, directory: Path | None) -> CampaignConfig:
    problems, cause = list(document.duplicates), None
    context = None if directory is None else {"directory": directory}
    try:
        config = CampaignConfig.model_validate(document.data, context=context)
        problems += stage_problems(config, document)
    except ValidationError as error:
        cause = error
        problems += problems_of(error, CampaignConfig, document)
    if problems:
        raise ConfigError(None, problems) from cause
    return config


def _where_it_was_said(problem: ConfigProblem, overrides: Overrides) -> ConfigProblem:
    """Return a problem of a key that was set beside the file without a line of the file."""
    dotted = problem.key.replace("[", ".").replace("]", "")
    for key, _, text in parsed(overrides):
        if f"{dotted}.".startswith(f"{key}."):
            hint = f"{problem.hint}; " if problem.hint else ""
            return replace(problem, line=None, hint=f"{hint}it was set by {text}")
    return problem


def read_campaign(text: str) -> CampaignConfig:
    """Return the resolved config that `dump_campaign` wrote, whether or not its inputs are still there.

    Raises:
        ValidationError: it is from a version of evomerge that had other keys.
    """
    recorded: Any = parse_yaml(text).data
    recorded.setdefault("engine", {"dtype": "float32"})  # records from before this key were scored so
    recorded.pop("racing", None)  # what older versions stopped candidates by
    return CampaignConfig.model_validate(recorded)


def overridden(config: CampaignConfig, *, evaluations: int | None = None, workers: int | None = None) -> CampaignConfig:
    """Return the config with what the command line said; None keeps what the file says.

    Args:
        config: a campaign as loaded.
        evaluations: candidates to score, at least 1; in every stage.
        workers: how many, at least 1; more than one makes them a Ray pool.

    Raises:
        ValueError: a number below 1.
    """
    for option, value in (("--evaluations", evaluations), ("--workers", workers)):
        if value is not None and value < 1:
            raise ValueError(f"{option}: expected at least 1, found {value}")
    changes: dict[str, object] = {}
    if evaluations is not None:
        changes["budget"] = _changed(config.budget, evaluations=evaluations)
        changes["stages"] = tuple(
            stage if stage.budget is None else _changed(stage, budget=_changed(stage.budget, evaluations=evaluations))
            for stage in config.stages
        )
    if workers is not None:
        # On Ray a worker scores one candidate at a time.
        pool = {"backend": "ray", "together": None} if workers > 1 else {}
        changes["workers"] = _changed(config.workers, count=workers, **pool)
    return _changed(config, **changes)


def _changed(section: S, **changes: object) -> S:
    return section.model_copy(update=changes)


def dump_campaign(config: CampaignConfig) -> str:
    """Return YAML, every default written out, that `load_campaign` reads back as an equal config."""
    return write_yaml(config.model_dump())


def _default_name(path: Path) -> str:
    return path.absolute().parent.name or "campaign" if path.stem == "campaign" else path.stem
