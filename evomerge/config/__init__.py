"""The campaign file: read, checked, written."""

from evomerge.config.campaign_config import BASE, RESERVED_NAMES, CampaignConfig
from evomerge.config.campaign_file import campaign_of, dump_campaign, load_campaign, overridden, read_campaign
from evomerge.config.errors import ConfigError

__all__ = [
    "BASE",
    "RESERVED_NAMES",
    "CampaignConfig",
    "ConfigError",
    "campaign_of",
    "dump_campaign",
    "load_campaign",
    "overridden",
    "read_campaign",
]
