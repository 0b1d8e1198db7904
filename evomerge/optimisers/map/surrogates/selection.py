"""Which points of a pool to score next: those expected to add most to the front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from evomerge.optimisers.map.surrogates.objectives import Measured, ObjectiveSurrogates
from evomerge.pareto import front
from evomerge.typing import Floats

N_DRAWS = 32
APART = 1e-3  # no gene of two proposals this close: no merge could tell them apart
LARGEST_POOL = 48  # from three objectives on, where a hypervolume takes long


class Selection:
    """Chooses points one by one; each counts as scored with its expected value when the next one is chosen.

    Of all genomes proposed so far, (n, dim), the first were told; `failed`, (n_told,), says which of them failed.
    """

    def __init__(
        self,
        known: Measured,
        surrogates: ObjectiveSurrogates,
        *,
        proposed: Floats,
        failed: NDArray[np.bool_],
        rng: np.random.Generator,
    ) -> None:
        self._surrogates = surrogates
        self._proposed = proposed
        self._told, self._failed = proposed[: len(failed)], failed
        feasible = known.violations == 0.0
        smoothed = surrogates.smoothed(known)
        self._nothing_feasible = not feasible.any()
        self._values = smoothed[feasible]
        self._reference = reference_point(self._values if feasible.any() else smoothed)
        half = rng.standard_normal((N_DRAWS // 2, smoothed.shape[1]))
        self._normals = np.concatenate([half, -half])  # antithetic: the draws' mean is the prediction's
        self._rng = rng

    def expect(self, genome: Floats) -> None:
        """Count a genome (dim,) as scored."""
        if not self._nothing_feasible:
            self._values = np.concatenate([self._values, self._surrogates.values(genome[None, :])])
        self._surrogates = self._surrogates.expecting(genome)

    def choose(self, pool: Floats, n: int) -> Floats:
        """Return up to n genomes of a pool (k, dim), all apart from each other and from what was proposed."""
        pool = self._new(pool)
        if pool.shape[0] > LARGEST_POOL and self._normals.shape[1] > 2:
            pool = pool[np.sort(self._rng.choice(len(pool), LARGEST_POOL, replace=False))]
        chosen: list[Floats] = []
        while len(pool) and len(chosen) < n:
            genome = pool[self._best(pool)]
            chosen.append(genome)
            self.expect(genome)
            pool = pool[np.abs(pool - genome).max(axis=1) > APART]
        return np.array(chosen).reshape(len(chosen), pool.shape[1])

    def _best(self, pool: Floats) -> int:
        chances = self._surrogates.feasibility(pool)
        if self._nothing_feasible:
            return int(np.argmax(chances))
        draws = self._surrogates.draws(pool, self._normals)
        flat = draws.reshape(-1, draws.shape[2])
        gains = hypervolume_improvements(flat, self._values, self._reference).reshape(draws.shape[:2]).mean(axis=0)
        gains *= chances
        return int(np.argmax(gains if gains.max() > 0.0 else self._surrogates.deviations(pool)))

    def _new(self, pool: Floats) -> Floats:
        """Return the points that were not proposed, and whose nearest told neighbour did not fail."""
        apart = cdist(pool, self._proposed, "chebyshev").min(axis=1) > APART
        nearest = cdist(pool, self._told, "sqeuclidean").argmin(axis=1)
        return np.asarray(pool[apart & ~self._failed[nearest]])


def reference_point(values: Floats) -> Floats:
    """Return a point a tenth of the front's extent below its worst values; (m,), of (n, m) values, n >= 1."""
    efficient = values[front(values)]
    low, high = efficient.min(axis=0), efficient.max(axis=0)
    extent = np.where(high > low, high - low, np.maximum(np.ptp(values, axis=0), 1e-6))
    return np.asarray(low - 0.1 * extent)


def hypervolume_improvements(points: Floats, values: Floats, reference: Floats) -> Floats:
    """Return (n,) hypervolumes above the reference (m,) that each of (n, m) points alone would add to (k, m) values.

    That is what the point would dominate and nothing else does.
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
