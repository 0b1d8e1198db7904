"""Start points among the landmarks: what they are called, and which of them results are compared with."""

from __future__ import annotations

from evomerge.archive import Archive
from evomerge.candidate import Candidate

START_POINT = "warm start"  # followed by a number


def is_start_point(label: str | None) -> bool:
    """Return whether a landmark is one that `optimiser.warm_start` gave."""
    return label is not None and label.startswith(f"{START_POINT} ")


def references(archive: Archive) -> list[Candidate]:
    """Return what results are compared with: parents, the space's baselines, and the best of the start points.

    A warm start may have read the whole front of another run; the search has to beat the best of it, judged by the mean
    on search items.
    """
    landmarks = archive.landmarks()
    starts = {c.number for c in landmarks if is_start_point(c.label)}
    means = {r.number: r.estimate.mean for r in archive.records("search") if r.number in starts and r.estimate}
    best = max(means, key=lambda number: means[number], default=None)
    return [c for c in landmarks if c.number not in starts or c.number == best]
