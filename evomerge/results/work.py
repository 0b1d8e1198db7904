"""Who scored the candidates of a search, and what that took there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import fmean, median
from typing import Any

from evomerge.candidate import Work


def by_place(works: Iterable[tuple[int, Work]]) -> list[dict[str, Any]]:
    """Return a row per node and device: candidates; medians of seconds and of tokens; the most GPU memory.

    `together` is how many candidates were scored at once there, on average; tokens are None where nobody counted them.
    """
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
            "prompt_tokens": _median(work.prompt_tokens for work in rows),
            "generated_tokens": _median(work.generated_tokens for work in rows),
            "together": round(fmean(work.together for work in rows), 1),
        }
        for (node, device), rows in sorted(found.items())
    ]


def in_words(work: Work) -> str:
    """Return what one candidate took, in a line.

    >>> from evomerge.candidate import Work
    >>> from evomerge.results.work import in_words
    >>> in_words(Work("n1", "NVIDIA H100", 0.25, 4.0, 12 * 2**30, 16000, 350))
    'merged in 0.25 s and scored in 4.00 s on n1 (NVIDIA H100): 16,000 tokens of prompts, 350 generated, 12.0 GiB'
    """
    amounts = []
    if work.prompt_tokens is not None and work.generated_tokens is not None:
        amounts = [f"{work.prompt_tokens:,} tokens of prompts", f"{work.generated_tokens:,} generated"]
    if work.peak_bytes is not None:
        amounts.append(f"{work.peak_bytes / 2**30:.1f} GiB")
    if work.together > 1:
        amounts.append(f"an even share of {work.together} candidates")
    seconds = f"merged in {work.merge_seconds:.2f} s and scored in {work.score_seconds:.2f} s"
    return ": ".join([f"{seconds} on {work.node} ({work.device})", *filter(None, [", ".join(amounts)])])


def _median(counts: Iterable[int | None]) -> float | None:
    known = [count for count in counts if count is not None]
    return median(known) if known else None
