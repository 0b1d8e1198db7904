"""What a campaign leaves to its models and to the machine: in which dtype they compute, and how they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from evomerge.assembly.live_models import with_compute_dtype
from evomerge.config import BASE, CampaignConfig
from search_spaces.parents.parents import Parents
from search_spaces.parents.tokenizer_files import chat_template
from search_spaces.recipes.recipe import ParentSource


def settled(config: CampaignConfig, places: Mapping[str, ParentSource] = MappingProxyType({})) -> CampaignConfig:
    """Return the config with what it leaves open as these models and this machine decide it."""
    config = with_compute_dtype(config, places)
    if config.prompts.apply_chat_template is not None:
        return config
    source = places.get(config.base_name, config.sources[config.base_name])
    base = Parents.open({BASE: source})[BASE]
    return asked_in_chat(config, chat_template(base.tokenizer_directory) is not None)


def asked_in_chat(config: CampaignConfig, chat: bool | str) -> CampaignConfig:
    """Return the config with the chat template on, off, or one of several."""
    prompts = config.prompts.model_copy(update={"apply_chat_template": chat})
    return config.model_copy(update={"prompts": prompts})
