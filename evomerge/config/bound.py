"""One constraint: an objective is at least a number, or at least what a landmark reaches."""

from __future__ import annotations

import re
from dataclasses import dataclass

_WRITTEN = re.compile(
    r"(?P<landmark>.+?)(?:\s+(?P<sign>[+-])\s*(?P<offset>\d+\.?\d*(?:e-?\d+)?|\.\d+))?", re.IGNORECASE
)


@dataclass(frozen=True)
class Bound:
    """An objective is at least `offset` plus the value of a landmark.

    Attributes:
        objective: its name.
        offset: the bound itself where there is no landmark.
        landmark: the label of the landmark whose value of the same objective is added; None for a plain number.
    """

    objective: str
    offset: float
    landmark: str | None = None

    def __str__(self) -> str:
        if self.landmark is None:
            return f"{self.objective} at least {self.offset:g}"
        sign = f" {'+' if self.offset > 0 else '-'} {abs(self.offset):g}" if self.offset else ""
        return f"{self.objective} at least {self.landmark}{sign}"


def parse_bound(objective: str, written: float | str) -> Bound:
    """Read a bound as a campaign file writes it: 0.6, `base`, `base - 0.01` or `PARENT + 0.02`.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(written, (int, float)):
        return Bound(objective, float(written))
    found = _WRITTEN.fullmatch(written.strip())
    if found is None:
        raise ValueError(f"at_least: expected a number, or a parent as in 'base - 0.01', found {written!r}")
    offset = float(found["offset"] or 0.0)
    return Bound(objective, -offset if found["sign"] == "-" else offset, found["landmark"])
