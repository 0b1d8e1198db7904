"""Thresholds for trimming a whole model's task vector by magnitude: exact, in two passes, whatever the model's size."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from search_spaces.operators.operator import Trim
from search_spaces.operators.sparsify import n_kept
from search_spaces.weights.parents import Parents

# Magnitudes of float32 are ordered like their bits. The upper half of the bits is counted first, then the lower half
# of those in the one bin that holds the threshold.
_HALF = 16
_BINS = 1 << _HALF


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
        """Return what keeps the share `density` of the largest |parent - base| over the model.

        Args:
            parents: the opened parents.
            parent: whose task vector.
            base: what it is taken from; its tensors count that the parent has in the same shape, a tied head once.
            density: in (0, 1].
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
            self._upper[parent, base] = _histogram(bits, lambda bits: bits >> _HALF)
        upper = self._upper[parent, base]
        n = int(upper.sum())
        k = n_kept(n, density) if n else 0
        if k == n:
            return Trim(-1.0, -1)
        bin_, above = _bin_of(upper, k)
        lower = _histogram(bits, lambda bits: bits[(bits >> _HALF) == bin_] & (_BINS - 1))
        rest, _ = _bin_of(lower, k - above)
        pattern = (bin_ << _HALF) | rest
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
