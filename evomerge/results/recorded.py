"""What an archive records of its campaign, beside candidates and scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from evomerge.archive import Archive
from fitness.scores import Estimate, Split


def campaign_settings(text: str) -> Mapping[str, Any]:
    """Return the campaign file as a mapping; empty when it is none, for a report must not depend on it."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def recorded_versions(archive: Archive) -> Mapping[str, str]:
    """Return program -> version, as the campaign recorded them."""
    more = campaign_settings(archive.noted("versions") or "")  # JSON is YAML
    return {"evomerge": archive.noted("evomerge") or "unknown", **{str(k): str(v) for k, v in more.items()}}


def estimates(archive: Archive, split: Split) -> dict[int, Estimate]:
    """Return the newest estimate of everything that was scored on a split, by candidate."""
    return {record.number: record.estimate for record in archive.records(split) if record.estimate is not None}
