"""The threshold above which exactly the k largest magnitudes lie, found in blocks that fit the cache.

Order of preference: magnitude descending, then flat index ascending.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from search_spaces.operators.kernels.counting import Magnitudes, counted_places, device_of
from search_spaces.operators.kernels.parallel import parallel_map

# Of more elements than this, a sample tells where to search.
_SAMPLED_FROM = 1 << 13

# Standard deviations of a place in a sample: of 100,000 searches one begins anew.
_MARGIN = 4.5

# Blocks of float32 that fit the cores' caches together.
_BLOCK = 1 << 18


class Trim(NamedTuple):
    """What magnitude trimming keeps of one tensor."""

    magnitude: float  # every element with |x| above it is kept
    last: int  # of the elements with |x| equal to it, those are kept whose flat index is at most this; -1 for none


_EVERYTHING = Trim(-1.0, -1)  # all magnitudes are above -1


def magnitudes_of(parent: Tensor, base: Tensor) -> Magnitudes:
    """Return what computes a part of |parent - base|, both flat, in float32."""

    def magnitudes(part: slice) -> Tensor:
        return parent[part].to(torch.float32).sub(base[part].to(torch.float32)).abs_()

    return magnitudes


def trim_to(magnitudes: Tensor, k: int) -> Trim:
    """Return the threshold that keeps exactly the k largest of a flat tensor of magnitudes, k in [0, n]."""
    return trim_of(magnitudes.__getitem__, magnitudes.numel(), k)


def trim_of(magnitudes: Magnitudes, n: int, k: int) -> Trim:
    """Return `trim_to` of n magnitudes that are computed, or read, a part at a time.

    Where fewer than k are numbers, everything is kept: NaN is not to be lost.
    """
    if k == n:
        return _EVERYTHING
    if k == 0:
        return Trim(math.inf, -1)
    if device_of(magnitudes).type != "cpu":
        (magnitude,), (last,) = counted_places(magnitudes, n, [k])
        return Trim(magnitude, last)
    found = trim_within(magnitudes, n, k, _guess(magnitudes, n, k)) if n > _SAMPLED_FROM else _of_few(magnitudes, n, k)
    return found or trim_within(magnitudes, n, k, (-1.0, math.inf)) or _EVERYTHING


def _of_few(magnitudes: Magnitudes, n: int, k: int) -> Trim | None:
    """Return `trim_of` of magnitudes that are looked at together; None if some are no numbers."""
    values = magnitudes(slice(0, n)).numpy()
    threshold = np.partition(values, n - k)[n - k]
    if np.isnan(values.max()):
        return None
    n_ties = k - int(np.count_nonzero(values > threshold))
    return Trim(float(threshold), int(np.flatnonzero(values == threshold)[n_ties - 1]))


def trim_within(magnitudes: Magnitudes, n: int, k: int, bounds: tuple[float, float]) -> Trim | None:
    """Return `trim_of(magnitudes, n, k)` by a search among those within two bounds; None if it is not there."""
    low, high = np.float32(bounds[0]), np.float32(bounds[1])

    # First pass: how many lie above the bounds, and what lies within them, (n_inside,) of each block.
    def look(start: int) -> tuple[int, int, np.ndarray]:
        values = magnitudes(slice(start, min(start + _BLOCK, n))).numpy()
        inside = values >= low
        from_low = int(np.count_nonzero(inside))
        inside &= values <= high
        n_inside = int(np.count_nonzero(inside))
        # Where the bounds are one number, how often it occurs says all.
        return from_low - n_inside, n_inside, np.compress(inside, values) if low < high else values[:0]

    blocks = parallel_map(look, range(0, n, _BLOCK))
    k -= sum(above for above, _, _ in blocks)  # from here on the wanted one is the k-th largest within the bounds
    if not 0 < k <= sum(inside for _, inside, _ in blocks):
        return None
    threshold, ties = low, [inside for _, inside, _ in blocks]
    if low < high:
        values = np.concatenate([values for _, _, values in blocks])
        values.partition(len(values) - k)
        threshold = values[len(values) - k]
        k -= int(np.count_nonzero(values > threshold))  # now: the k-th, in index order, of those that equal it
        ties = [int(np.count_nonzero(values == threshold)) for _, _, values in blocks]
    return Trim(float(threshold), _last_tie(magnitudes, n, k, threshold, ties))


def below(magnitude: float) -> float:
    """Return the next smaller float32 of a magnitude, -1 of zero: what equals the one is above the other."""
    return float(np.nextafter(np.float32(magnitude), np.float32(-1.0))) if magnitude > 0.0 else -1.0


def _last_tie(magnitudes: Magnitudes, n: int, k: int, threshold: np.float32, ties: Sequence[int]) -> int:
    """Return the flat index of the k-th magnitude (from 1) that equals the threshold, from their number by block."""
    total = np.cumsum(ties)
    block = int(np.searchsorted(total, k))
    start = block * _BLOCK
    equal = np.flatnonzero(magnitudes(slice(start, min(start + _BLOCK, n))).numpy() == threshold)
    return start + int(equal[k - 1 - int(total[block]) + ties[block]])


def _guess(magnitudes: Magnitudes, n: int, k: int) -> tuple[float, float]:
    """Return bounds that the k-th largest most probably lies within, from a sample (Floyd and Rivest 1975)."""
    step = round(n ** (1 / 3)) | 1  # odd steps visit all columns of a matrix
    ascending = np.sort(magnitudes(slice(0, n, step)).numpy())
    m, share = len(ascending), k / n
    place, margin = int(share * m), int(_MARGIN * math.sqrt(m * share * (1.0 - share))) + 4
    high = float(ascending[m - 1 - place + margin]) if place >= margin else math.inf
    low = float(ascending[m - 1 - place - margin]) if place + margin < m else -1.0
    return low, high
