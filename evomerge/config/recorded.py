"""The campaign that an archive records, also one that a newer or an older version wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from evomerge.config.campaign_config import CampaignConfig
from evomerge.config.errors import ConfigError, ConfigProblem
from evomerge.config.yaml_document import Document, parse_yaml
from evomerge.wording import in_words, told


@dataclass(frozen=True)
class RecordedCampaign:
    """A resolved config as it was recorded.

    Attributes:
        config: as far as this version knows its keys.
        unknown: the keys that it does not know, as in `space.added_later`; what they said is not in `config`.
    """

    config: CampaignConfig
    unknown: tuple[str, ...] = ()


def read_recorded(text: str) -> RecordedCampaign:
    """Return what `dump_campaign` wrote, in this version or another, whether or not its inputs are still there.

    Raises:
        ConfigError: a value is none of this version's.
    """
    document = parse_yaml(text)
    recorded: Any = document.data
    if not isinstance(recorded, dict):
        raise ConfigError(None, [ConfigProblem("", None, "the campaign's keys", in_words(recorded))])
    recorded.setdefault("engine", {"dtype": "float32"})  # records from before this key were scored so
    if isinstance(splits := recorded.setdefault("splits", {}), dict):
        splits.setdefault("drawn", "by_place")  # as all were before this key
    recorded.pop("racing", None)  # what older versions stopped candidates by
    unknown: list[str] = []
    while True:
        try:
            return RecordedCampaign(CampaignConfig.model_validate(recorded), tuple(unknown))
        except ValidationError as error:
            removed = [way for way, words in told(error, CampaignConfig) if _is_unknown(way, words[1])]
            named = [Document(recorded).locate(way)[0] for way in removed]
            if not removed or not all([_remove(recorded, way) for way in removed]):
                located = [ConfigProblem(*document.locate(way), *words) for way, words in told(error, CampaignConfig)]
                raise ConfigError(None, located) from error
            unknown += named


def _is_unknown(way: Sequence[str | int], found: str) -> bool:
    """Return whether a problem is that there is a key at all."""
    return bool(way) and found == f"'{way[-1]}'"


def _remove(data: Any, way: Sequence[str | int]) -> bool:
    """Remove a key; False where there is none."""
    for part in way[:-1]:
        if part not in data if isinstance(data, dict) else not isinstance(data, list):
            return False
        data = data[part]
    return isinstance(data, dict) and data.pop(way[-1], data) is not data
