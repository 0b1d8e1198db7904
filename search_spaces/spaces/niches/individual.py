"""An individual of a population that is stored as its genealogy and never as weights.

A child is slerp of two parents on both sides of a split point, so without mutation every descendant of K seeds is, by
induction, a linear combination of them whose coefficients are constant between a few boundaries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import SpaceError


@dataclass(frozen=True, eq=False)
class Individual:
    """A piecewise-constant linear combination of K parents over n flattened floating-point parameters."""

    # (n_segments + 1,) int64, ascending from 0 to n; segment s is [boundaries[s], boundaries[s + 1]). Read-only
    boundaries: NDArray[np.int64]
    coefficients: NDArray[np.float64]  # (n_segments, K) float64, finite; the parents' shares in each segment. Read-only

    def __post_init__(self) -> None:
        boundaries = np.array(self.boundaries, dtype=np.int64)
        coefficients = np.array(self.coefficients, dtype=np.float64)
        if (
            boundaries.ndim != 1
            or len(boundaries) < 2
            or boundaries[0] != 0
            or (boundaries[1:] <= boundaries[:-1]).any()
        ):
            raise SpaceError(f"boundaries: expected whole numbers that ascend from 0, found {boundaries.tolist()}")
        if coefficients.ndim != 2 or len(coefficients) != len(boundaries) - 1 or coefficients.shape[1] < 1:
            raise SpaceError(
                f"coefficients: expected one row per segment, {len(boundaries) - 1}, and one column per parent, found "
                f"the shape {coefficients.shape}"
            )
        if not np.isfinite(coefficients).all():
            raise SpaceError("coefficients: expected finite numbers, found NaN or infinity")
        for name, array in (("boundaries", boundaries), ("coefficients", coefficients)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @staticmethod
    def of_parent(parent: int, *, n_parents: int, size: int) -> Individual:
        """Return the individual that is one parent, everywhere."""
        return Individual(np.array([0, size]), np.eye(n_parents)[parent : parent + 1])

    @property
    def size(self) -> int:
        """The number of flattened parameters, n."""
        return int(self.boundaries[-1])

    @property
    def n_parents(self) -> int:
        """The number of parents, K."""
        return int(self.coefficients.shape[1])

    def refined(self, cuts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the coefficients between cuts that include every boundary: (len(cuts) - 1, K)."""
        segments = np.searchsorted(self.boundaries, cuts[:-1], side="right") - 1
        return self.coefficients[segments]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float64]:
        """Return [K, boundaries, coefficients row by row] as one flat float64 vector."""
        flat = np.concatenate([[self.n_parents], self.boundaries, self.coefficients.ravel()])
        return flat if dtype is None else flat.astype(dtype)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Individual):
            return NotImplemented
        same = np.array_equal(self.boundaries, other.boundaries)
        return same and np.array_equal(self.coefficients, other.coefficients)

    def __hash__(self) -> int:
        return hash((self.boundaries.tobytes(), (self.coefficients + 0.0).tobytes()))


def merged(cuts: NDArray[np.int64], coefficients: NDArray[np.float64]) -> Individual:
    """Return an individual whose neighbouring segments of equal coefficients, (n, K) between (n + 1,) cuts, are one."""
    differs = (coefficients[1:] != coefficients[:-1]).any(axis=1)
    kept = np.concatenate([[True], differs])
    return Individual(np.append(cuts[:-1][kept], cuts[-1]), coefficients[kept])
