"""Who scored the candidates of a search, and what merging and scoring took there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median
from typing import Any

from evomerge.candidate import Work


def by_place(works: Iterable[tuple[int, Work]]) -> list[dict[str, Any]]:
    """Return a row per node and device: candidates, median seconds of merging and of scoring, most GPU memory."""
    found: defaultdict[tuple[str, str], list[Work]] = defaultdict(list)
    for _, work in works:
        found[work.node, work.device].append(work)
    return [
        {
            "node": node,
            "device": device,
            "candidates": len(rows),
            "merge_seconds": median(work.merge_seconds for work in rows),
            "score_seconds": median(work.score_seconds for work in rows),
            "peak_bytes": max((work.peak_bytes for work in rows if work.peak_bytes is not None), default=None),
        }
        for (node, device), rows in sorted(found.items())
    ]
