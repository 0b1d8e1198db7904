"""The campaign that a run directory records, whose code is not run unasked."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from evomerge.api.tables import reading
from evomerge.campaign import RunDirectory
from evomerge.campaign.origin import NOTE
from evomerge.campaign.run_directory import recorded_config
from evomerge.campaign.trust import check_archive, check_code, check_staged
from evomerge.config import CampaignConfig, load_campaign
from evomerge.config.code import named_code
from evomerge.config.overrides import Overrides
from evomerge.config.yaml_document import read_yaml


def recorded_campaign(directory: Path, overrides: Overrides = (), *, trust_tasks: bool = False) -> CampaignConfig:
    """Return the campaign that a run directory records, all stages of it.

    Raises:
        UntrustedCodeError: somebody else began the run, it names code, and is not trusted.
    """
    run, staged = RunDirectory(directory), RunDirectory(directory).stages / "campaign.yaml"
    load_record = partial(load_campaign, overrides=overrides, files_must_exist=False)
    if staged.is_file():
        check_staged(staged, trust=trust_tasks)
        return load_record(staged)
    with reading(run.archive) as archive:
        check_archive(archive, directory, trust=trust_tasks)
        if not run.campaign.is_file() or not overrides:
            return recorded_config(archive, trust=trust_tasks)
        check_code(named_code(read_yaml(run.campaign).data), archive.noted(NOTE), run.campaign, trust=trust_tasks)
    return load_record(run.campaign)
