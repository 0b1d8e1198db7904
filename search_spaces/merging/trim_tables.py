"""Thresholds of one tensor's magnitudes for many counts at once: elements are counted, and few of them sorted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from search_spaces.operators.kernels.counting import Magnitudes, counted_places, device_of
from search_spaces.operators.kernels.parallel import parallel_map
from search_spaces.operators.kernels.threshold import Trim, trim_of, trim_within
from search_spaces.operators.memory import Steps

# Elements are counted by their bits but for the lowest: 4,096 bins for each power of two, of 16 such.
_LOWER_BITS = 11
_COUNTED = 16 << 23
_COUNTED_AT_ONCE = 1 << 17
_SAMPLE = 1 << 12
_HALF = np.uint64(32)
_LARGEST = np.uint64((1 << 32) - 1)

# Blocks whose counts are summed by one thread, at least.
_SUMMED = 8
_MOST_SUMS = 256

# Fewer elements are sorted in less time than the bins are looked through.
SORTED_UP_TO = 1 << 15


@dataclass(frozen=True)
class _Wanted:
    """How many elements the thresholds of a table keep."""

    kept: np.ndarray  # int64, strictly ascending
    at: Mapping[int, int]  # the same -> their index


def _index_type(n: int) -> type[np.signedinteger]:
    return np.int32 if n < 1 << 31 else np.int64


@lru_cache(maxsize=256)
def _wanted(steps: Steps, n: int) -> _Wanted:
    kept = sorted({k for k in steps(n) if 0 < k <= n})
    return _Wanted(np.asarray(kept, dtype=np.int64), {k: i for i, k in enumerate(kept)})


@dataclass(frozen=True, slots=True)
class TrimTable:
    """The `Trim` that keeps `wanted.kept[i]` elements, at index i."""

    wanted: _Wanted
    magnitudes: np.ndarray  # float32
    last: np.ndarray  # int32, or int64 of larger tensors

    @staticmethod
    def of(magnitudes: Magnitudes, n: int, steps: Steps) -> TrimTable:
        """Return the table of n magnitudes at these steps."""
        wanted = _wanted(steps, n)
        partial = wanted.kept[: np.searchsorted(wanted.kept, n)]
        if device_of(magnitudes).type != "cpu":
            found, places = map(np.asarray, counted_places(magnitudes, n, partial.tolist()))
        else:
            bits, places = (_places if n > SORTED_UP_TO else _places_sorted)(magnitudes, n, partial)
            found = bits.view(np.float32)
        # What keeps everything stands at the end.
        kept = np.full(len(wanted.kept), -1.0, dtype=np.float32)
        last = np.full(len(wanted.kept), -1, dtype=_index_type(n))
        kept[: len(partial)], last[: len(partial)] = found, places
        return TrimTable(wanted, kept, last)

    @staticmethod
    def from_numbers(numbers: np.ndarray | None, n: int, steps: Steps) -> TrimTable | None:
        """Return the table of n magnitudes that had these `numbers`, of whatever steps; None of no such numbers."""
        if numbers is None or len(numbers) % 3:
            return None
        kept, magnitudes, last = numbers.reshape(3, -1)
        wanted = _wanted(steps, n)
        if not np.array_equal(kept, wanted.kept):
            wanted = _Wanted(kept.astype(np.int64), {int(k): i for i, k in enumerate(kept)})
        return TrimTable(wanted, magnitudes.astype(np.float32), last.astype(_index_type(n)))

    @property
    def numbers(self) -> np.ndarray:
        """All of it, float64 (3 n_thresholds,): counts, magnitudes, indices; every one exact."""
        return np.concatenate([array.astype(np.float64) for array in (self.wanted.kept, self.magnitudes, self.last)])

    def at(self, k: int) -> Trim | None:
        """Return the `Trim` that keeps k elements, None of a k that the table does not have."""
        i = self.wanted.at.get(k)
        return None if i is None else self._trim(i)

    def between(self, magnitudes: Magnitudes, n: int, k: int) -> Trim:
        """Return the `Trim` for a k that the table does not have, searching the elements between its neighbours."""
        i = int(np.searchsorted(self.wanted.kept, k))
        high = self._trim(i - 1).magnitude if i > 0 else float("inf")
        low = self._trim(i).magnitude if i < len(self.wanted.kept) else -1.0
        if device_of(magnitudes).type != "cpu":
            return trim_of(magnitudes, n, k)
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

    def count(some: Sequence[int]) -> np.ndarray:
        summed = torch.zeros(n_bins, dtype=torch.int64)
        for start in some:  # NumPy's bincount holds Python's lock
            summed += torch.bincount(torch.from_numpy(_bins(bits(start), lowest).view(np.int32)), minlength=n_bins)
        return summed.numpy()

    together = max(_SUMMED, len(starts) // _MOST_SUMS)
    summed = parallel_map(count, [starts[i : i + together] for i in range(0, len(starts), together)])
    counts = np.sum(summed, axis=0)
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
