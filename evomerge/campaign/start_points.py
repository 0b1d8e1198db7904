"""Landmarks of which there are several alike: what they are called, and which of them results are compared with."""

from __future__ import annotations

from evomerge.archive import Archive
from evomerge.candidate import Candidate

START_POINT = "warm start"  # followed by a number
TASK_ARITHMETIC = "task arithmetic"  # followed by its scale


def is_start_point(label: str | None) -> bool:
    """Return whether a landmark is one that `optimiser.warm_start` gave."""
    return label is not None and label.startswith(f"{START_POINT} ")


def references(archive: Archive) -> list[Candidate]:
    """Return what results are compared with: parents, baselines, the best start point, the best of task arithmetic.

    A warm start may have read the whole front of another run, and task arithmetic is scored at several scales; the
    search has to beat the best of each, judged by the mean on search items.
    """
    landmarks = archive.landmarks()
    named = (f"{START_POINT} ", f"{TASK_ARITHMETIC} ")
    kinds = [[c.number for c in landmarks if c.label and c.label.startswith(name)] for name in named]
    records = archive.records("search") if any(kinds) else []
    means = {r.number: r.estimate.mean for r in records if r.estimate}
    left_out = set()
    for alike in kinds:
        best = max((n for n in alike if n in means), key=lambda number: means[number], default=None)
        left_out |= {number for number in alike if number != best}
    return [c for c in landmarks if c.number not in left_out]
