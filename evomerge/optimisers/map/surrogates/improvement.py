"""How much a point adds to a front: the hypervolume that it would dominate and nothing else does."""

from __future__ import annotations

import numpy as np

from evomerge.pareto import front
from evomerge.typing import Floats


def reference_point(values: Floats) -> Floats:
    """Return a point a tenth of the front's extent below its worst values; (m,).

    Args:
        values: (n, m), higher is better, n >= 1.
    """
    efficient = values[front(values)]
    low, high = efficient.min(axis=0), efficient.max(axis=0)
    extent = np.where(high > low, high - low, np.maximum(np.ptp(values, axis=0), 1e-6))
    return np.asarray(low - 0.1 * extent)


def hypervolume_improvements(points: Floats, values: Floats, reference: Floats) -> Floats:
    """Return (n,) hypervolumes that each point alone would add to a front.

    Args:
        points: (n, m) candidates, higher is better.
        values: (k, m) what is there already.
        reference: (m,) the corner that hypervolumes are measured from.
    """
    kept = values[(values > reference).all(axis=1)]
    efficient = kept[front(kept)] if len(kept) else kept
    if len(reference) == 1:
        best = float(efficient.max()) if len(efficient) else float(reference[0])
        return np.maximum(points[:, 0] - best, 0.0)
    if len(reference) == 2:
        return _in_two_dimensions(points, efficient, reference)
    return _by_difference(points, efficient, reference)


def _in_two_dimensions(points: Floats, efficient: Floats, reference: Floats) -> Floats:
    """Return what a point adds above each step of the staircase, summed: Σ (min(x, bⱼ) - aⱼ)₊ (y - hⱼ)₊."""
    ordered = efficient[np.argsort(efficient[:, 0], kind="stable")]
    left = np.concatenate([[reference[0]], ordered[:, 0]])
    right = np.concatenate([ordered[:, 0], [np.inf]])
    heights = np.concatenate([ordered[:, 1], [reference[1]]])
    widths = np.maximum(np.minimum(points[:, :1], right) - left, 0.0)
    return np.asarray((widths * np.maximum(points[:, 1:] - heights, 0.0)).sum(axis=1))


def _by_difference(points: Floats, efficient: Floats, reference: Floats) -> Floats:
    """Return each point's own box less what the front dominates inside of it."""
    import moocore

    added = np.zeros(len(points))
    for i in np.flatnonzero((points > reference).all(axis=1)):
        inside = np.minimum(efficient, points[i])
        covered = float(moocore.hypervolume(inside, ref=reference, maximise=True)) if len(inside) else 0.0
        added[i] = max(float(np.prod(points[i] - reference)) - covered, 0.0)
    return added
