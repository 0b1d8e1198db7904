"""Thresholds of magnitudes, of a tensor or of a whole model: computed once, and kept for the whole campaign."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from search_spaces.merging.recent import Recent
from search_spaces.operators.kernels.ranks import parallel_map
from search_spaces.operators.kernels.sparsify import n_kept
from search_spaces.operators.kernels.threshold import Magnitudes, Trim, trim_within
from search_spaces.operators.memory import Steps
from search_spaces.parents.parents import Parents

# Thresholds between the steps, such as those of outliers: some 200 bytes each.
_MOST_BETWEEN_STEPS = 200_000

# Elements are counted by their bits but for the lowest: 4,096 bins for each power of two, of 16 such.
_LOWER_BITS = 11
_COUNTED = 16 << 23
_COUNTED_AT_ONCE = 1 << 17
_SAMPLE = 1 << 12
_HALF = np.uint64(32)
_LARGEST = np.uint64((1 << 32) - 1)

# Fewer elements are sorted in less time than the bins are looked through.
_SORTED_UP_TO = 1 << 15

# Over a whole model the upper half of the bits is counted first, then the lower half of those in the one bin that
# holds the threshold: two passes, whatever the model's size.
_LOWER_HALF = 16
_BINS = 1 << _LOWER_HALF


class TrimCache:
    """`threshold.trim_to`, remembered: 256 thresholds or a few times as many for each tensor, and some between them.

    A threshold takes 8 bytes.

    One cache serves one set of opened parents. A key stands for the magnitudes; the caller promises that equal keys
    mean equal magnitudes. A threshold between the table's is found by one pass over the magnitudes.
    """

    def __init__(self) -> None:
        self._tables: dict[Hashable, _Table] = {}
        self._between: Recent[Trim] = Recent(_MOST_BETWEEN_STEPS)

    def trim(self, key: Hashable, magnitudes: Magnitudes, k: int, n: int, *, steps: Steps) -> Trim:
        """Return what keeps the k largest of n magnitudes, k in [1, n]; see `MergeMemory.trim`."""
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = _Table.of(magnitudes, n, steps)
        found = table.at(k)
        return self._between.get((key, k), lambda: table.between(magnitudes, n, k)) if found is None else found


@dataclass(frozen=True)
class _Wanted:
    """How many elements the thresholds of a table keep."""

    kept: np.ndarray  # int64, strictly ascending
    at: Mapping[int, int]  # the same -> their index


@lru_cache(maxsize=256)
def _wanted(steps: Steps, n: int) -> _Wanted:
    kept = sorted({k for k in steps(n) if 0 < k <= n})
    return _Wanted(np.asarray(kept, dtype=np.int64), {k: i for i, k in enumerate(kept)})


@dataclass(frozen=True, slots=True)
class _Table:
    """The `Trim` that keeps `wanted.kept[i]` elements, at index i."""

    wanted: _Wanted
    magnitudes: np.ndarray  # float32
    last: np.ndarray  # int32, or int64 of larger tensors

    @staticmethod
    def of(magnitudes: Magnitudes, n: int, steps: Steps) -> _Table:
        wanted = _wanted(steps, n)
        partial = wanted.kept[: np.searchsorted(wanted.kept, n)]
        bits, places = (_places if n > _SORTED_UP_TO else _places_sorted)(magnitudes, n, partial)
        # What keeps everything stands at the end.
        kept = np.full(len(wanted.kept), -1.0, dtype=np.float32)
        last = np.full(len(wanted.kept), -1, dtype=np.int32 if n < 1 << 31 else np.int64)
        kept[: len(partial)], last[: len(partial)] = bits.view(np.float32), places
        return _Table(wanted, kept, last)

    def at(self, k: int) -> Trim | None:
        i = self.wanted.at.get(k)
        return None if i is None else self._trim(i)

    def between(self, magnitudes: Magnitudes, n: int, k: int) -> Trim:
        """Return the `Trim` for a k that the table does not have, searching the elements between its neighbours."""
        i = int(np.searchsorted(self.wanted.kept, k))
        high = self._trim(i - 1).magnitude if i > 0 else float("inf")
        low = self._trim(i).magnitude if i < len(self.wanted.kept) else -1.0
        found = trim_within(magnitudes, n, k, (low, high))
        assert found is not None, "a table's neighbours enclose every k between them"
        return found

    def _trim(self, i: int) -> Trim:
        return Trim(self.magnitudes.item(i), self.last.item(i))


def _places(magnitudes: Magnitudes, n: int, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the bits and the flat index of the element that is the k-th in order of preference, for each k.

    The elements are counted by the upper bits of their magnitudes, which are ordered like these, and those that share
    them with a wanted one are sorted: some hundredth of them where they are spread as weights are.
    """
    lowest = _lowest_counted(magnitudes, n)
    n_bins = _COUNTED >> _LOWER_BITS

    def bits(start: int) -> np.ndarray:
        return np.asarray(magnitudes(slice(start, min(start + _COUNTED_AT_ONCE, n))).numpy().view(np.uint32))

    starts = range(0, n, _COUNTED_AT_ONCE)
    counts = np.zeros(n_bins, dtype=np.int64)
    for start in starts:
        counts += np.bincount(_bins(bits(start), lowest), minlength=n_bins)
    # counts, from_top, wanted: (n_bins,), by ascending magnitude. A table of 256 thresholds wants few of the 65,536
    # bins, so that the second pass sorts a hundredth of the elements.
    from_top = counts[::-1].cumsum()[::-1]  # of each bin and those above it
    bins = np.searchsorted(-from_top, -kept, side="right") - 1  # the highest that reaches down to the k-th
    wanted = np.zeros(n_bins, dtype=bool)
    wanted[bins] = True

    def keys(start: int) -> np.ndarray:
        """Return integers that ascend in order of preference."""
        found = bits(start)
        near = np.flatnonzero(wanted.take(_bins(found, lowest)))
        return ((_LARGEST - found[near].astype(np.uint64)) << _HALF) | (near + start).astype(np.uint64)

    ordered = np.concatenate([np.empty(0, dtype=np.uint64), *parallel_map(keys, starts)])
    ordered.sort()
    # `ordered` has only the wanted bins' elements, the largest first: a k-th of all lies behind those of the wanted
    # bins above its own (before), at its place within its bin (k less all that lies above the bin).
    held = counts * wanted
    before = held[::-1].cumsum()[::-1] - held
    places = ordered[before[bins] + kept - (from_top - counts)[bins] - 1]
    return (_LARGEST - (places >> _HALF)).astype(np.uint32), (places & _LARGEST).astype(np.int64)


def _places_sorted(magnitudes: Magnitudes, n: int, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `_places`, of elements that are sorted sooner than counted."""
    bits = np.asarray(magnitudes(slice(0, n)).numpy().view(np.uint32))
    keys = ((_LARGEST - bits.astype(np.uint64)) << _HALF) | np.arange(n, dtype=np.uint64)
    keys.sort()
    places = keys[kept - 1]
    return (_LARGEST - (places >> _HALF)).astype(np.uint32), (places & _LARGEST).astype(np.int64)


def _bins(bits: np.ndarray, lowest: int) -> np.ndarray:
    """Return the bin that each element is counted in; the first and the last have all that lies beyond."""
    offset = np.maximum(bits, np.uint32(lowest))
    offset -= np.uint32(lowest)
    np.minimum(offset, np.uint32(_COUNTED - 1), out=offset)
    return np.asarray(offset >> np.uint32(_LOWER_BITS))


def _lowest_counted(magnitudes: Magnitudes, n: int) -> int:
    """Return the bits of a number 2^15 times smaller than the largest of a sample; some elements are larger yet."""
    sample = magnitudes(slice(0, n, n // _SAMPLE | 1)).numpy().view(np.uint32)
    return max(0, int(sample.max()) - _COUNTED + (1 << 23))


class ModelTrims:
    """The `Trim` of the whole task vector of a parent, all tensors taken as one, remembered for each density.

    Elements equal to the threshold are all kept, as in the authors' code of TIES: their order over the model would
    mean nothing. One object serves one set of opened parents.
    """

    def __init__(self) -> None:
        self._upper: dict[tuple[str, str], Tensor] = {}
        self._trims: dict[tuple[str, str, float], Trim] = {}
        self._searching = threading.Lock()

    def trim(self, parents: Parents, parent: str, base: str, density: float) -> Trim:
        """Return what keeps the share `density` in (0, 1] of the largest |parent - base| over the model.

        Those of the base's tensors count that the parent has in the same shape, a tied head once.
        """
        key = (parent, base, density)
        with self._searching:
            if key not in self._trims:
                self._trims[key] = self._found(parents, parent, base, density)
            return self._trims[key]

    def _found(self, parents: Parents, parent: str, base: str, density: float) -> Trim:
        def bits() -> Iterator[Tensor]:
            return _magnitude_bits(parents, parent, base)

        if (parent, base) not in self._upper:
            self._upper[parent, base] = _histogram(bits, lambda bits: bits >> _LOWER_HALF)
        upper = self._upper[parent, base]
        n = int(upper.sum())
        k = n_kept(n, density) if n else 0
        if k == n:
            return Trim(-1.0, -1)
        bin_, above = _bin_of(upper, k)
        lower = _histogram(bits, lambda bits: bits[(bits >> _LOWER_HALF) == bin_] & (_BINS - 1))
        rest, _ = _bin_of(lower, k - above)
        pattern = (bin_ << _LOWER_HALF) | rest
        if pattern == 0:
            return Trim(-1.0, -1)
        below = torch.tensor(pattern - 1, dtype=torch.int32).view(torch.float32)  # the next smaller float32
        return Trim(float(below), -1)


def _magnitude_bits(parents: Parents, parent: str, base: str) -> Iterator[Tensor]:
    """Yield the bit patterns of |parent - base| as int32 (n,), tensor by tensor."""
    ours, theirs = parents[parent], parents[base]
    for name in theirs.names:
        if name not in ours or (theirs.tied and name == theirs.head):
            continue
        if ours.shape(name) == theirs.shape(name) and theirs.dtype(name).is_floating_point:
            delta = ours.tensor(name).to(torch.float32) - theirs.tensor(name).to(torch.float32)
            yield delta.abs_().flatten().view(torch.int32)


def _histogram(chunks: Callable[[], Iterator[Tensor]], digit: Callable[[Tensor], Tensor]) -> Tensor:
    counts = torch.zeros(_BINS, dtype=torch.int64)
    for chunk in chunks():
        counts += torch.bincount(digit(chunk), minlength=_BINS)
    return counts


def _bin_of(counts: Tensor, k: int) -> tuple[int, int]:
    """Return the bin that holds the k-th largest, and how many lie in the bins above it."""
    above = counts.flip(0).cumsum(0)
    position = int(torch.searchsorted(above, k))
    return _BINS - 1 - position, int(above[position - 1]) if position else 0
