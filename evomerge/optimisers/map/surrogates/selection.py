"""Which points of a pool to score next: those expected to add most to the front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from evomerge.optimisers.map.surrogates.improvement import hypervolume_improvements, reference_point
from evomerge.optimisers.map.surrogates.objectives import Measured, ObjectiveSurrogates
from evomerge.typing import Floats

N_DRAWS = 32
APART = 1e-3  # no gene of two proposals this close: no merge could tell them apart
LARGEST_POOL = 48  # from three objectives on, where a hypervolume takes long


class Selection:
    """Chooses points one by one; each counts as scored with its expected value when the next one is chosen.

    Args:
        known: what was measured.
        surrogates: fitted to it.
        proposed: (n, dim) every genome proposed so far, the first of them told.
        failed: (n_told,) which of them failed.
        rng: its numbers are used up.
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
