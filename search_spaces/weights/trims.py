"""Thresholds of magnitudes, computed once per task vector and kept for the whole campaign."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from search_spaces.operators import sparsify
from search_spaces.operators.operator import Trim
from search_spaces.operators.sparsify import n_kept
from search_spaces.operators.threshold import Magnitudes, trim_within
from search_spaces.weights.recent import Recent

Steps = Callable[[int], list[int]]

# Search spaces quantise densities to multiples of 1/256, so that one sort serves every candidate.
DENSITY_STEPS = 256

# Thresholds between the steps, such as those of outliers: some 200 bytes each.
_MOST_BETWEEN_STEPS = 200_000

# Elements that equal one of a table's thresholds are found by 16 bits of a multiplicative hash.
_HASH_MULTIPLIER = np.uint32(0x9E3779B1)
_SEARCHED_AT_ONCE = 1 << 22


class TrimCache:
    """`threshold.trim_to`, remembered: 256 thresholds or a few times as many for each tensor, and some between them.

    A threshold takes 20 bytes.

    One cache serves one set of opened parents. A key stands for the magnitudes; the caller promises that equal keys
    mean equal magnitudes. A threshold between the table's is found by one pass over the magnitudes.
    """

    def __init__(self) -> None:
        self._tables: dict[Hashable, _Table] = {}
        self._between: Recent[Trim] = Recent(_MOST_BETWEEN_STEPS)

    def trim(self, key: Hashable, magnitudes: Magnitudes, k: int, n: int, *, steps: Steps) -> Trim:
        """Return what keeps the k largest magnitudes, as `threshold.trim_to` does.

        Args:
            key: names the magnitudes.
            magnitudes: computes them anew, not empty.
            k: in [1, n].
            n: how many there are.
            steps: n -> the k that a table is made for, when it is first asked for.
        """
        if key not in self._tables:
            self._tables[key] = _Table.of(magnitudes(slice(None)), steps)
        table = self._tables[key]
        found = table.at(k)
        return self._between.get((key, k), lambda: table.between(magnitudes, n, k)) if found is None else found


def density_steps(n: int) -> list[int]:
    """Return how many of n elements the densities 1/256, 2/256, ... 1 keep."""
    return [n_kept(n, i / DENSITY_STEPS) for i in range(1, DENSITY_STEPS + 1)]


def band_steps(n: int, gamma: float) -> list[int]:
    """Return the ends of `sparsify.band` at every density, for one gamma and for all that are multiples of 1/256."""
    steps = density_steps(n)
    bands = [sparsify.band(n, i / DENSITY_STEPS, gamma) for i in range(1, DENSITY_STEPS + 1)]
    # Two shares are rounded down one by one: their sum may be one less than that of a density.
    return [*steps, *(k - 1 for k in steps), *(top for _, top in bands), *(top + k for k, top in bands)]


@dataclass(frozen=True)
class _Table:
    """The `Trim` that keeps `kept[i]` elements, at index i.

    Attributes:
        kept: int64, strictly ascending.
        magnitudes: float32.
        last: int64.
    """

    kept: np.ndarray
    magnitudes: np.ndarray
    last: np.ndarray

    @staticmethod
    def of(magnitudes: Tensor, steps: Steps) -> _Table:
        values, n = magnitudes.numpy(), magnitudes.numel()
        kept = np.unique(np.asarray([k for k in steps(n) if 0 < k <= n], dtype=np.int64))
        # NumPy's sort is vectorised: four times faster here than torch's.
        ascending = np.sort(values)
        thresholds = ascending[n - kept]
        n_ties = kept - (n - np.searchsorted(ascending, thresholds, side="right"))
        del ascending
        last = _last_ties(values, thresholds, n_ties)
        everything = kept == n
        return _Table(kept, np.where(everything, np.float32(-1.0), thresholds), np.where(everything, -1, last))

    def at(self, k: int) -> Trim | None:
        i = bisect.bisect_left(self.kept, k)
        return self._trim(i) if i < len(self.kept) and self.kept[i] == k else None

    def between(self, magnitudes: Magnitudes, n: int, k: int) -> Trim:
        """Return the `Trim` for a k that the table does not have, searching the elements between its neighbours."""
        i = int(np.searchsorted(self.kept, k))
        high = self._trim(i - 1).magnitude if i > 0 else float("inf")
        low = self._trim(i).magnitude if i < len(self.kept) else -1.0
        found = trim_within(magnitudes, n, k, (low, high))
        assert found is not None, "a table's neighbours enclose every k between them"
        return found

    def _trim(self, i: int) -> Trim:
        return Trim(float(self.magnitudes[i]), int(self.last[i]))


def _last_ties(values: np.ndarray, thresholds: np.ndarray, n_ties: np.ndarray) -> np.ndarray:
    """Return for each threshold the flat index of the `n_ties`-th (from 1) value that equals it."""
    distinct = np.unique(thresholds)
    wanted = np.zeros(1 << 16, dtype=bool)
    wanted[_hash(distinct)] = True
    indices, owners = [], []
    for start in range(0, len(values), _SEARCHED_AT_ONCE):
        part = values[start : start + _SEARCHED_AT_ONCE]
        near = np.flatnonzero(wanted[_hash(part)])
        owner = np.minimum(np.searchsorted(distinct, part[near]), len(distinct) - 1)
        equal = distinct[owner] == part[near]
        indices.append(near[equal] + start)
        owners.append(owner[equal].astype(np.uint16))  # sorted by radix, then
    index, owner = np.concatenate(indices), np.concatenate(owners)
    index = index[np.argsort(owner, kind="stable")]
    first_of_owner = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(distinct)))[:-1]])
    return np.asarray(index[first_of_owner[np.searchsorted(distinct, thresholds)] + n_ties - 1])


def _hash(values: np.ndarray) -> np.ndarray:
    return np.asarray((values.view(np.uint32) * _HASH_MULTIPLIER) >> np.uint32(16))


def magnitudes_of(parent: Tensor, base: Tensor) -> Magnitudes:
    """Return what computes a part of |parent - base|, both flat, in float32."""

    def magnitudes(part: slice) -> Tensor:
        return parent[part].to(torch.float32).sub(base[part].to(torch.float32)).abs_()

    return magnitudes
