"""A run of before, into trackers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from evomerge.archive import Archive
from evomerge.tracking.following import Following
from evomerge.tracking.protocol import TrackingError


def track(directory: Path, to: Sequence[str], archive: Path, say: Callable[[str], object]) -> dict[str, str]:
    """Log every candidate that trackers do not have yet, and the front; return tracker -> where it is to be seen.

    Raises:
        TrackingError: one of them took nothing in; the others did.
    """
    failed: list[str] = []
    following = Following(directory.absolute(), to, failed.append)
    with contextlib.closing(Archive.read(archive)) as reader:
        following.end(reader)
    places = following.places
    if failed:
        for name, place in places.items():
            if not any(line.startswith(f"track: {name} ") for line in failed):
                say(f"{name}: {place}")
        raise TrackingError("\n".join(failed))
    return places
