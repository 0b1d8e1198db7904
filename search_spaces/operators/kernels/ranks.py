"""Ranks of magnitudes within the rows of a matrix, by a sort that is vectorised."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from search_spaces.operators.kernels.counting import Magnitudes, device_of
from search_spaces.operators.kernels.parallel import parallel_map

# Of a sorted integer, for an element's place in its row. The places of narrow rows displace the lowest bits of a
# magnitude, whose elements are then a few swaps of neighbours from their order.
_PLACE_BITS = 32
_NARROW = 1 << 11
_MOST_SWAPS = 8

# Rows that are ranked together, with some 40 bytes an element, fit a core's cache.
_RANKED_AT_ONCE = 1 << 15
_RANKED_ELSEWHERE = 1 << 24


def row_width(shape: Sequence[int]) -> int:
    """Return how many elements a row has; a vector is one row."""
    return prod(shape[1:]) if len(shape) > 1 else prod(shape)


def doubled_ranks(delta: Tensor) -> Tensor:
    """Return twice the rank of |δ| within its row, from 0, int32 of the same shape; equals share their mean rank."""
    width = row_width(delta.shape)
    if delta.numel() == 0 or width == 0:
        return torch.zeros(delta.shape, dtype=torch.int32)
    bits = delta.abs().reshape(-1).view(torch.int32).numpy()
    order, ascending = _sorted(bits, width)
    doubled = np.tile(np.arange(0, 2 * width, 2, dtype=np.int32), len(bits) // width)
    ties = _neighbours(np.equal, ascending, width)
    if len(ties):
        # Runs of equals: (first, last) places of each, and first + last is twice the mean rank of all in it.
        begins = _begins(ties)
        first, last = ties[begins], ties[np.append(begins[1:], len(ties)) - 1] + 1
        sizes = last - first + 1
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        doubled[np.repeat(first, sizes) + within] = np.repeat(first % width + last % width, sizes)
    ranks = np.empty_like(doubled)
    ranks[order] = doubled
    return torch.from_numpy(ranks).view(delta.shape)


def packed_ranks(magnitudes: Magnitudes, n: int, width: int) -> Tensor:
    """Return `doubled_ranks` of n magnitudes, flat: uint16, or int32 where rows are too wide for that.

    They are computed where the magnitudes are, and returned on the CPU.
    """
    if device_of(magnitudes).type != "cpu":
        return _ranked_elsewhere(magnitudes, n, max(1, width))
    ranks: np.ndarray = np.empty(n, dtype=np.uint16 if 2 * (width - 1) < 1 << 16 else np.int32)
    step = max(1, _RANKED_AT_ONCE // max(1, width)) * width  # whole rows

    def rank(start: int) -> None:
        part = slice(start, min(start + step, n))
        ranks[part] = doubled_ranks(magnitudes(part).view(-1, width)).view(-1).numpy()

    parallel_map(rank, range(0, n, max(1, step)))
    return torch.from_numpy(ranks)


def _ranked_elsewhere(magnitudes: Magnitudes, n: int, width: int) -> Tensor:
    """Return `packed_ranks`, by torch alone: the first and the last place of an element's equals are searched."""
    packed = torch.empty(n, dtype=torch.uint16 if 2 * (width - 1) < 1 << 16 else torch.int32)
    step = max(1, _RANKED_ELSEWHERE // width) * width
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        rows = magnitudes(part).view(-1, width)
        ascending = rows.sort(dim=1).values
        first = torch.searchsorted(ascending, rows, out_int32=True)
        doubled = first + torch.searchsorted(ascending, rows, out_int32=True, right=True) - 1
        packed[part] = doubled.view(-1).cpu().to(packed.dtype)
    return packed


def _sorted(bits: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat indices of each row's elements in ascending order, equals in any order, and these elements.

    bits: int32 (n,), not negative: float32 magnitudes are ordered like their bits.
    """
    # NumPy's sort is vectorised for integers, its argsort is not: an element's place becomes the lowest bits of it.
    if width <= _NARROW:
        lowest = (1 << (width - 1).bit_length()) - 1
        order = _places_sorted(bits & ~lowest, width, lowest)
        ascending = bits.take(order)
        if _bubbled(order, ascending, width):
            return order, ascending
    order = _places_sorted(bits.astype(np.int64) << _PLACE_BITS, width, (1 << _PLACE_BITS) - 1)
    return order, bits.take(order)


def _places_sorted(keys: np.ndarray, width: int, lowest: int) -> np.ndarray:
    """Return the flat indices of the elements in the order of their keys, row by row; overwrites the keys.

    keys: integers (n,), not negative, whose `lowest` bits, at least width - 1, are unset.
    """
    rows = keys.reshape(-1, width)
    rows |= np.arange(width, dtype=keys.dtype)
    rows.sort(axis=1)
    rows &= lowest
    return (rows + np.arange(0, len(keys), width)[:, None]).ravel()


def _bubbled(order: np.ndarray, ascending: np.ndarray, width: int) -> bool:
    """Sort what is nearly sorted, both arrays alike, by swapping neighbours; return False if that takes long."""
    for _ in range(_MOST_SWAPS):
        wrong = _neighbours(np.greater, ascending, width)
        if len(wrong) == 0:
            return True
        if len(wrong) > len(order) // 8:
            return False
        first = wrong[_begins(wrong)]  # no two of them overlap
        for values in (order, ascending):
            values[first], values[first + 1] = values[first + 1], values[first]
    return False


def _neighbours(compare: np.ufunc, values: np.ndarray, width: int) -> np.ndarray:
    """Return the flat indices of elements that compare so with the next one of their row."""
    true = compare(values[:-1], values[1:])
    true[width - 1 :: width] = False
    return np.flatnonzero(true)


def _begins(ascending: np.ndarray) -> np.ndarray:
    """Return where runs of consecutive integers begin, of at least one."""
    return np.append(0, np.flatnonzero(ascending[1:] - ascending[:-1] != 1) + 1)
