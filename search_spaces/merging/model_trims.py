"""Thresholds of magnitudes over a whole model, all tensors taken as one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from search_spaces.merging.kept_numbers import Keeping, Nowhere
from search_spaces.operators.kernels.parallel import parallel_map
from search_spaces.operators.kernels.sparsify import n_kept
from search_spaces.operators.kernels.threshold import Trim
from search_spaces.parents.parents import Parents

# The upper half of the bits is counted first, then the lower half of those in the one bin that holds the threshold: two
# passes, whatever the model's size.
_LOWER_HALF = 16
_BINS = 1 << _LOWER_HALF
_COUNTED_AT_ONCE = 1 << 20


class ModelTrims:
    """The `Trim` of the whole task vector of a parent, all tensors taken as one, remembered for each density.

    Elements equal to the threshold are all kept, as in the authors' code of TIES: their order over the model would
    mean nothing. One object serves one set of opened parents.
    """

    def __init__(self, kept: Keeping | None = None) -> None:
        """Begin with nothing but what is kept of these parents."""
        self._kept: Keeping = Nowhere() if kept is None else kept
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
                self._trims[key] = self._remembered(parents, parent, base, density)
            return self._trims[key]

    def _remembered(self, parents: Parents, parent: str, base: str, density: float) -> Trim:
        key = ("model", parent, base, density)
        numbers = self._kept.find(key)
        if numbers is not None and len(numbers) == 1:
            return Trim(float(numbers[0]), -1)
        found = self._found(parents, parent, base, density)
        self._kept.add(key, np.array([found.magnitude], dtype=np.float64))
        return found

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


def _histogram(tensors: Callable[[], Iterator[Tensor]], digit: Callable[[Tensor], Tensor]) -> Tensor:
    counts = torch.zeros(_BINS, dtype=torch.int64)
    for bits in tensors():
        if bits.device.type != "cpu":
            counts += torch.bincount(digit(bits), minlength=_BINS).cpu()
            continue
        blocks = parallel_map(
            lambda block: torch.bincount(digit(block), minlength=_BINS), torch.split(bits, _COUNTED_AT_ONCE)
        )
        counts += torch.stack(blocks).sum(dim=0)
    return counts


def _bin_of(counts: Tensor, k: int) -> tuple[int, int]:
    """Return the bin that holds the k-th largest, and how many lie in the bins above it."""
    above = counts.flip(0).cumsum(0)
    position = int(torch.searchsorted(above, k))
    return _BINS - 1 - position, int(above[position - 1]) if position else 0
