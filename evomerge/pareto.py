"""The Pareto front of scored candidates, and its knee."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def front(values: ArrayLike) -> NDArray[np.intp]:
    """Return which points no other point dominates.

    A point dominates another when it is at least as good in every objective and better in one; so equal points do not
    dominate each other, and all copies of a nondominated point are returned.

    Args:
        values: (n, m), higher is better, finite; n >= 0, m >= 1.

    Returns:
        (n_front,) indices into `values`, ascending.

    Raises:
        ValueError: the shape is wrong or a value is not finite.
    """
    import moocore  # O(n log n) for up to three objectives (Kung et al. 1975)

    points = _checked(values)
    if len(points) == 0:
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(moocore.is_nondominated(points, maximise=True, keep_weakly=True))


def constrained_front(values: ArrayLike, violations: ArrayLike) -> NDArray[np.intp]:
    """Return which feasible points no other feasible point dominates.

    Where no point is feasible, the front of those that violate least is returned. Violations are (n,), at least 0; all
    else is as in `front`.
    """
    points, violations = _checked(values), np.asarray(violations, dtype=np.float64)
    least = np.flatnonzero(violations <= violations.min(initial=np.inf))
    return np.asarray(least[front(points[least])])


def knee(values: ArrayLike) -> int:
    """Return the front point farthest from the line (plane) through the extreme points.

    The extreme points are the best point of each objective; distances are taken after scaling each objective to [0, 1]
    over the front. Points beyond the line, on its better side, come before points short of it, so a dent of the front
    is never taken for its knee; where no point lies beyond (the front is dented as a whole) the farthest is taken.

    Objectives on which all points agree are left out; where at most one is left, its best point is taken. Where the
    extreme points do not span a plane (three objectives, two of which have the same best point), the plane's normal is
    (1, ..., 1). Ties go to the most balanced point (the one whose worst scaled objective is best), then to the first.

    Args:
        values: (n_front, m) objectives of a front, higher is better, finite; n_front >= 1, m >= 1.

    Returns:
        An index into `values`.
    """
    points = _checked(values)
    if len(points) == 0:
        raise ValueError("values: expected at least one front point, found none")
    span = np.ptp(points, axis=0)
    scaled = (points - points.min(axis=0))[:, span > 0] / span[span > 0]
    if scaled.shape[1] < 2:
        return int(np.argmax(scaled.sum(axis=1)))
    beyond = _signed_distances(scaled)
    # Rounding must not choose between points on the line itself.
    distances = beyond if beyond.max() > 1e-9 else np.abs(beyond)
    tied = np.flatnonzero(distances >= distances.max() - 1e-9)
    return int(tied[np.argmax(scaled[tied].min(axis=1))])


def _signed_distances(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each point's distance to the plane through the extreme points, positive away from the worst corner."""
    m = scaled.shape[1]
    # Among the best points of an objective, the extreme is the one that is best in the others.
    extremes = scaled[[np.lexsort((scaled.sum(axis=1), scaled[:, k]))[-1] for k in range(m)]]
    spanned = np.linalg.matrix_rank(extremes, tol=1e-9) == m
    normal = np.linalg.solve(extremes, np.ones(m)) if spanned else np.ones(m)  # the plane is {x : normal · x = 1}
    if (normal <= 0).any():
        normal = np.ones(m)
    return np.asarray((scaled @ normal - 1) / np.linalg.norm(normal))


def _checked(values: ArrayLike) -> NDArray[np.float64]:
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] == 0:
        raise ValueError(f"values: expected shape (n, m) with m >= 1, found {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError(f"values: expected finite numbers, found {points[~np.isfinite(points)][0]}")
    return points
