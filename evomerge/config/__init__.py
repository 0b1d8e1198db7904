"""The campaign file: read, checked, written."""

from evomerge.config.campaign_config import BASE, RESERVED_NAMES, CampaignConfig
from evomerge.config.campaign_file import (
    campaign_of,
    dump_campaign,
    joined_config,
    load_campaign,
    merge_stand_ins,
    overridden,
    read_campaign,
    stage_config,
    stand_ins,
)
from evomerge.config.errors import ConfigError, ConfigProblem

__all__ = [
    "BASE",
    "RESERVED_NAMES",
    "CampaignConfig",
    "ConfigError",
    "ConfigProblem",
    "campaign_of",
    "dump_campaign",
    "joined_config",
    "load_campaign",
    "merge_stand_ins",
    "overridden",
    "read_campaign",
    "stage_config",
    "stand_ins",
]
