"""Pieces: a merge whose weights are constant between a few boundaries of the flattened parameters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.errors import SpaceError


@dataclass(frozen=True)
class Pieces:
    """A piecewise-constant linear combination of parents over the flattened floating-point parameters.

    Every output parameter is Σ_k c_k θ_k with the coefficients of the segment that it lies in, in float32. The order in
    which parameters are flattened is that of `FlatLayout.of_checkpoint`.
    """

    parents: tuple[str, ...]  # the parents that are combined, in the order of the coefficients
    # ascending from 0 to the number of parameters; segment s is [boundaries[s], boundaries[s + 1])
    boundaries: tuple[int, ...]
    coefficients: tuple[tuple[float, ...], ...]  # per segment, one finite number per parent

    def __post_init__(self) -> None:
        if not self.parents:
            raise SpaceError("pieces.parents: expected at least one, found none")
        ascends = all(a < b for a, b in itertools.pairwise(self.boundaries))
        if len(self.boundaries) < 2 or self.boundaries[0] != 0 or not ascends:
            raise SpaceError(f"pieces.boundaries: expected numbers that ascend from 0, found {list(self.boundaries)}")
        if not all(isinstance(boundary, int) for boundary in self.boundaries):
            raise SpaceError(f"pieces.boundaries: expected whole numbers, found {list(self.boundaries)}")
        if len(self.coefficients) != len(self.boundaries) - 1:
            expected = f"one row per segment, {len(self.boundaries) - 1}"
            raise SpaceError(f"pieces.coefficients: expected {expected}, found {len(self.coefficients)}")
        for i, row in enumerate(self.coefficients):
            if len(row) != len(self.parents) or not all(map(math.isfinite, row)):
                expected = f"{len(self.parents)} finite numbers"
                raise SpaceError(f"pieces.coefficients[{i}]: expected {expected}, found {list(row)}")

    @property
    def shares(self) -> tuple[float, ...]:
        """Each parent's mean coefficient over all parameters."""
        lengths = [b - a for a, b in itertools.pairwise(self.boundaries)]
        columns = zip(*self.coefficients, strict=True)
        return tuple(sum(c * n for c, n in zip(column, lengths, strict=True)) / sum(lengths) for column in columns)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data in canonical order."""
        return {
            "parents": list(self.parents),
            "boundaries": list(self.boundaries),
            "coefficients": [list(row) for row in self.coefficients],
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Pieces:
        """Read what `to_dict` returned."""
        try:
            rows = tuple(tuple(float(number) for number in row) for row in data["coefficients"])
        except ValueError as error:
            raise SpaceError(f"pieces.coefficients: expected rows of numbers, found another ({error})") from error
        return Pieces(tuple(data["parents"]), tuple(data["boundaries"]), rows)
