"""Thresholds for magnitude trimming, computed once per (parent, tensor) and kept for the whole campaign."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from search_spaces.operators.operator import Trim
from search_spaces.operators.sparsify import n_kept, trim

# Search spaces quantise densities to multiples of 1/256, so that one sort serves every candidate.
DENSITY_STEPS = 256


@dataclass(frozen=True)
class _Table:
    """The `Trim` of density i / 256 at index i - 1."""

    magnitudes: np.ndarray
    n_ties: np.ndarray


class TrimCache:
    """`sparsify.trim`, remembered: 256 thresholds, 3 KiB, per task vector.

    One cache serves one set of opened parents. A key names a task vector; the caller promises that equal keys mean
    equal task vectors.
    """

    def __init__(self) -> None:
        self._tables: dict[tuple[str, ...], _Table] = {}

    def trim(self, key: tuple[str, ...], parent: Tensor, base: Tensor, density: float) -> Trim:
        """Return `sparsify.trim(parent - base, density)`.

        Args:
            key: names the task vector.
            parent: float32, any shape.
            base: float32, the same shape.
            density: in (0, 1]; multiples of 1/256 are looked up, others are computed afresh.
        """
        step = density * DENSITY_STEPS
        if not step.is_integer() or not 1 <= step <= DENSITY_STEPS:
            return trim(parent - base, density)
        if key not in self._tables:
            self._tables[key] = _all_trims(parent - base)
        table = self._tables[key]
        return Trim(float(table.magnitudes[int(step) - 1]), int(table.n_ties[int(step) - 1]))


def _all_trims(delta: Tensor) -> _Table:
    # NumPy's sort is vectorised: four times faster here than torch's.
    ascending = torch.abs(delta).flatten().numpy()
    ascending.sort()
    n = ascending.size
    kept = np.array([n_kept(n, i / DENSITY_STEPS) for i in range(1, DENSITY_STEPS + 1)])
    magnitudes = ascending[n - kept]
    n_ties = kept - (n - np.searchsorted(ascending, magnitudes, side="right"))
    everything = kept == n
    return _Table(np.where(everything, np.float32(-1.0), magnitudes), np.where(everything, 0, n_ties))
