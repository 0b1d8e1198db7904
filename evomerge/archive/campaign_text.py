"""What an archive's campaign says of itself: for those who look at results, so nothing of it is trusted or imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fitness.costs import COSTS, Cost

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


@dataclass(frozen=True)
class Role:
    """What an objective is for, which estimates are not packed with."""

    weight: float | None = 1.0  # in the mean; see `ObjectiveEstimate`
    cost: Cost | None = None


def objective_roles(text: str) -> Mapping[str, Role]:
    """Return objective -> its role, as far as the campaign gives one; others have the weight of 1 and are no cost."""
    objectives = campaign_settings(text).get("objectives")
    entries = [entry for entry in objectives if isinstance(entry, Mapping)] if isinstance(objectives, list) else []
    return {str(entry.get("name")): Role(_weight(entry), _cost(entry)) for entry in entries}


def _weight(entry: Mapping[Any, Any]) -> float | None:
    found = entry.get("weight", 1.0)
    if found is None:
        return None
    return float(found) if isinstance(found, int | float) and 0 <= found <= _LARGEST_WEIGHT else 1.0


def _cost(entry: Mapping[Any, Any]) -> Cost | None:
    return next((cost for cost in COSTS if cost == entry.get("cost")), None)
