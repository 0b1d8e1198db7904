"""The campaign file: read, checked, written."""

from evomerge.config.campaign_config import BASE, RESERVED_NAMES, CampaignConfig
from evomerge.config.campaign_file import dump_campaign, load_campaign, overridden, resolved
from evomerge.config.errors import ConfigError

__all__ = [
    "BASE",
    "RESERVED_NAMES",
    "CampaignConfig",
    "ConfigError",
    "dump_campaign",
    "load_campaign",
    "overridden",
    "resolved",
]
