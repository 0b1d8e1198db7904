"""What an archive's campaign says of itself: for those who look at results, so nothing of it is trusted or imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LARGEST_WEIGHT = 1e12  # that the sum of all is finite


def campaign_settings(text: str) -> Mapping[str, Any]:
    """Return the campaign file as a mapping; empty when it is none, for a report must not depend on it."""
    import yaml

    try:
        # A record has no aliases: those of a crafted one can stand for more than any memory holds.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            return {}
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def objective_weights(text: str) -> Mapping[str, float]:
    """Return objective -> its weight in the mean, where the campaign gives one; all others have a weight of 1."""
    objectives = campaign_settings(text).get("objectives")
    entries = [entry for entry in objectives if isinstance(entry, Mapping)] if isinstance(objectives, list) else []
    weights = {str(entry.get("name")): entry.get("weight") for entry in entries}
    return {name: float(w) for name, w in weights.items() if isinstance(w, int | float) and 0 <= w <= _LARGEST_WEIGHT}
