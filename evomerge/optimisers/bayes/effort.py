"""How much work goes into one proposal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """How much work goes into one proposal.

    Attributes:
        draws: possible truths.
        pool: genomes that are looked at.
        improved: how many of them are improved along the slope.
        steps: of each.
    """

    draws: int = 64
    pool: int = 384
    improved: int = 4
    steps: int = 20
