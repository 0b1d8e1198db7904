"""Constraints as a campaign file writes them: at least, or of a cost at most, a number or what a checkpoint reaches."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from evomerge.wording import in_words, mismatch, refuse
from fitness.costs import COSTS, Cost, natural

_WRITTEN = re.compile(
    r"(?P<landmark>.+?)(?:\s+(?P<sign>[+-])\s*(?P<offset>\d+\.?\d*(?:e-?\d+)?|\.\d+))?", re.IGNORECASE
)


@dataclass(frozen=True)
class Bound:
    """An objective is at least `offset` plus the value of a landmark; of a cost, whose values are negative, too.

    Attributes:
        objective: its name.
        offset: the bound itself where there is no landmark.
        landmark: the label of the landmark whose value of the same objective is added; None for a plain number.
        cost: what it costs; None where it is no cost.
    """

    objective: str
    offset: float
    landmark: str | None = None
    cost: Cost | None = None

    def __str__(self) -> str:
        side, offset = ("at least", self.offset) if self.cost is None else ("at most", natural(self.offset, self.cost))
        unit = "" if self.cost is None else f" {COSTS[self.cost].unit}"
        if self.landmark is None:
            return f"{self.objective} {side} {offset:g}{unit}"
        sign = f" {'+' if offset > 0 else '-'} {abs(offset):g}" if offset else ""
        return f"{self.objective} {side} {self.landmark}{sign}"


def parse_bound(objective: str, written: float | str) -> Bound:
    """Read a bound as a campaign file writes it: 0.6, `base`, `base - 0.01` or `PARENT + 0.02`."""
    if isinstance(written, (int, float)):
        return Bound(objective, float(written))
    found = _WRITTEN.fullmatch(written.strip())
    if found is None:
        raise ValueError(f"bound: expected a number, or a parent as in 'base - 0.01', found {written!r}")
    offset = float(found["offset"] or 0.0)
    return Bound(objective, -offset if found["sign"] == "-" else offset, found["landmark"])


def as_bound(value: object) -> object:
    """Check the form of a bound: a number, or a checkpoint with or without an offset."""
    if value is None or (isinstance(value, (int, float, str)) and not isinstance(value, bool)):
        try:
            if value is not None and math.isfinite(parse_bound("", value).offset):
                return value if isinstance(value, str) else float(value)
            if value is None:
                return value
        except ValueError:
            pass
    refuse([mismatch("a number, or a checkpoint as in base - 0.01", in_words(value))])
