"""What an archive records of its campaign, beside candidates and scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from evomerge.archive import Archive
from fitness.scores import Estimate, Split


def campaign_settings(text: str) -> Mapping[str, Any]:
    """Return the campaign file as a mapping; empty when it is none, for a report must not depend on it."""
    try:
        # A record has no aliases: those of a crafted one can stand for more than any memory holds.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            return {}
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def recorded_versions(archive: Archive) -> Mapping[str, str]:
    """Return program -> version, as the campaign recorded them."""
    try:
        more = json.loads(archive.noted("versions") or "{}")
    except (ValueError, RecursionError):
        more = {}
    named = {k: str(v) for k, v in more.items() if isinstance(v, str | int | float)} if isinstance(more, dict) else {}
    return {"evomerge": archive.noted("evomerge") or "unknown", **named}


def estimates(archive: Archive, split: Split) -> dict[int, Estimate]:
    """Return the newest estimate of everything that was scored on a split, by candidate."""
    return {record.number: record.estimate for record in archive.records(split) if record.estimate is not None}
