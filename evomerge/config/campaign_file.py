"""The campaign file: read with every error at once, with its key and line; changed by the command line; written.

Nothing else is loaded: neither torch nor a model.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from evomerge.config.campaign_config import CampaignConfig
from evomerge.config.errors import ConfigError, ConfigProblem, in_words
from evomerge.config.paths import absolute_model, absolute_path, absolute_task
from evomerge.config.problems import problems_of
from evomerge.config.stages import stage_problems
from evomerge.config.yaml_document import read_yaml, write_yaml


def load_campaign(path: Path, *, files_must_exist: bool = True) -> CampaignConfig:
    """Read and check a campaign file.

    Args:
        path: the YAML file.
        files_must_exist: whether to check that directories and task files are there; False reads the record of a
            campaign whose inputs may have moved.

    Raises:
        ConfigError: everything that is wrong with the file, at once.
    """
    document = read_yaml(path)
    if not isinstance(document.data, dict):
        expected = "a mapping with at least the keys parents and objectives"
        raise ConfigError(path, [ConfigProblem("", 1, expected, in_words(document.data))])
    problems = list(document.duplicates)
    context = {"directory": path.parent} if files_must_exist else None
    try:
        config = CampaignConfig.model_validate({"name": _default_name(path), **document.data}, context=context)
        problems += stage_problems(config, document)
    except ValidationError as error:
        problems += problems_of(error, CampaignConfig, document)
    if problems:
        raise ConfigError(path, problems)
    return config


def resolved(config: CampaignConfig, directory: Path) -> CampaignConfig:
    """Return the config with absolute paths; hub ids and names of lm-eval tasks stay as they are.

    Args:
        config: a campaign as loaded.
        directory: the campaign file's directory, which relative paths start from.
    """
    data = config.model_dump()
    for model in [*data["parents"], *([data["base"]] if data["base"] else [])]:
        model |= {key: absolute_model(model[key], directory) for key in ("model", "adapter") if model[key]}
    for objective in data["objectives"]:
        objective["tasks"] = [absolute_task(task, directory) for task in objective["tasks"]]
    searches = [data["optimiser"], *(stage["optimiser"] for stage in data["stages"] if stage["optimiser"])]
    for optimiser in searches:
        optimiser["warm_start"] = [str(absolute_path(path, directory)) for path in optimiser["warm_start"]]
    if config.reduced is not None:
        data["reduced"]["file"] = str(absolute_path(config.reduced.file, directory))
    if config.lm_eval.include_path is not None:
        data["lm_eval"]["include_path"] = str(absolute_path(config.lm_eval.include_path, directory))
    return CampaignConfig.model_validate(data)


def overridden(config: CampaignConfig, *, evaluations: int | None = None, workers: int | None = None) -> CampaignConfig:
    """Return the config with what the command line said; None keeps what the file says.

    Args:
        config: a campaign as loaded.
        evaluations: candidates to score, at least 1; in every stage.
        workers: how many, at least 1; more than one makes them a Ray pool.

    Raises:
        ValueError: a number below 1.
    """
    data = config.model_dump()
    for option, value in (("--evaluations", evaluations), ("--workers", workers)):
        if value is not None and value < 1:
            raise ValueError(f"{option}: expected at least 1, found {value}")
    if evaluations is not None:
        for budget in [data["budget"], *(stage["budget"] for stage in data["stages"] if stage["budget"])]:
            budget["evaluations"] = evaluations
    if workers is not None:
        data["workers"]["count"] = workers
        if workers > 1:  # on Ray a worker scores one candidate at a time
            data["workers"] |= {"backend": "ray", "together": None}
    return CampaignConfig.model_validate(data)


def dump_campaign(config: CampaignConfig) -> str:
    """Return YAML, every default written out, that `load_campaign` reads back as an equal config."""
    return write_yaml(config.model_dump())


def _default_name(path: Path) -> str:
    return path.absolute().parent.name or "campaign" if path.stem == "campaign" else path.stem
