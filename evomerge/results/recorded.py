"""What an archive records of its campaign, beside candidates and scores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from evomerge.archive import Archive, ArchiveError
from evomerge.archive.campaign_text import campaign_settings
from evomerge.campaign.run_directory import recorded_campaign
from evomerge.campaign.trust import recorded_code
from evomerge.errors import few_lines
from evomerge.version import __version__
from fitness.scores import Estimate, Split

_MOST_NAMED = 3  # damaged rows


def campaign_name(archive: Archive) -> str:
    """Return what the campaign is called, also where the rest of its record cannot be read."""
    name = campaign_settings(archive.campaign).get("name")
    return name if isinstance(name, str) and name else "campaign"


def recorded_versions(archive: Archive) -> Mapping[str, str]:
    """Return program -> version, as the campaign recorded them."""
    found = {"evomerge": archive.noted("evomerge") or "unknown"}
    more = archive.parsed("versions", lambda text: dict(json.loads(text)), damaged="skip") or {}
    return {**found, **{k: str(v) for k, v in more.items() if isinstance(v, str | int | float)}}


def estimates(archive: Archive, split: Split) -> dict[int, Estimate]:
    """Return the newest estimate of everything that was scored on a split, by candidate."""
    return {record.number: record.estimate for record in archive.records(split) if record.estimate is not None}


def remarks(archive: Archive) -> tuple[str, ...]:
    """Return lines about what could not be read of an archive; ask once everything else was read."""
    lines = [*_about_the_campaign(archive)]
    if damage := archive.damage:
        rows = "1 row is" if len(damage) == 1 else f"{len(damage)} rows are"
        shown = few_lines(list(map(str, damage)), _MOST_NAMED + 1).replace("\n", "; ")
        lines.append(f"{archive.path}: {rows} damaged and left out: {shown}")
    return tuple(lines)


def _about_the_campaign(archive: Archive) -> Iterator[str]:
    if "parents:" not in archive.campaign:
        return  # of a program that drives a Campaign by itself
    try:
        if any(one.is_plugin for one in recorded_code(archive)):
            return  # who looks at results imports nothing that they name
        unknown = recorded_campaign(archive).unknown
    except ArchiveError as error:
        yield str(error)
        return
    if unknown:
        yield (
            f"the campaign has keys that evomerge {__version__} does not know, and what they say is left out: "
            f"{', '.join(unknown)} (evomerge {archive.noted('evomerge')} wrote the archive)"
        )
