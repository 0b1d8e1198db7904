"""The k-th largest of many magnitudes by counting alone, wherever they lie: for devices that are no CPUs.

Float32 magnitudes are ordered like their bits: the upper 20 are counted, then the lower 11 of those whose upper are
wanted, then equals block by block. Everything is a whole number, so every device finds what the CPU's search finds
(`threshold`, `trim_tables`), bit for bit. Nothing as large as the tensor is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# Maps a slice of the flat indices to the magnitudes there: float32, not negative.
Magnitudes = Callable[[slice], Tensor]

_LOWER_BITS = 11
_LOWER = 1 << _LOWER_BITS
_UPPER = 1 << (31 - _LOWER_BITS)

# Elements that are looked at together: few enough that what is made of them is small beside a model.
_AT_ONCE = 1 << 24


def device_of(magnitudes: Magnitudes) -> torch.device:
    """Return where magnitudes are computed; computes none."""
    return magnitudes(slice(0, 0)).device


def counted_places(
    magnitudes: Magnitudes, n: int, kept: Sequence[int], *, at_once: int = _AT_ONCE
) -> tuple[list[float], list[int]]:
    """Return, for each k in [1, n], the k-th magnitude in order of preference, and its flat index.

    The order is that of `threshold`: descending, of equals the first index first; NaN counts as the largest.
    """
    if not kept:
        return [], []

    def bits(start: int) -> Tensor:
        part = magnitudes(slice(start, min(start + at_once, n))).contiguous()
        return part.view(torch.int32).bitwise_and(0x7FFFFFFF)

    starts = range(0, n, at_once)
    wanted = torch.tensor(kept, dtype=torch.int64).to(device_of(magnitudes))  # (n_kept,)
    upper = _counts(bits, starts, lambda found: found >> _LOWER_BITS, _UPPER)
    reaching = _from_the_top(upper)
    bins, bin_of = torch.unique(_last_reaching(reaching, wanted), return_inverse=True)
    # What lies in no wanted bin is counted in a row behind theirs.
    row_of = torch.full((_UPPER,), len(bins), dtype=torch.int64, device=bins.device)
    row_of[bins] = torch.arange(len(bins), device=bins.device)
    n_rows = len(bins) + 1
    lower = _counts(
        bits, starts, lambda b: row_of[b >> _LOWER_BITS] * _LOWER + (b & (_LOWER - 1)), n_rows * _LOWER
    ).view(n_rows, _LOWER)[:-1]
    # Of each pattern of its bin, how many elements are as large or larger: (n_kept, _LOWER).
    within = (_from_the_top(lower) + (reaching - upper)[bins, None])[bin_of]
    last = _last_reaching(within, wanted[:, None]).squeeze(1)
    larger = within.gather(1, last[:, None]).squeeze(1) - lower[bin_of, last]
    patterns = (bins[bin_of] << _LOWER_BITS | last).to(torch.int32)
    return patterns.view(torch.float32).cpu().tolist(), _places(
        bits, starts, patterns, (wanted - larger).cpu().tolist()
    )


def _places(bits: Callable[[int], Tensor], starts: Sequence[int], patterns: Tensor, nth: Sequence[int]) -> list[int]:
    """Return the flat index of the n-th element (from 1) that has a pattern, for each of some."""
    distinct, which = torch.unique(patterns, return_inverse=True)
    upto = torch.zeros(len(distinct), dtype=torch.int64, device=patterns.device)
    counts = [upto]  # before each block, and at the end
    for start in starts:
        found = bits(start)
        near = torch.searchsorted(distinct, found).clamp_(max=len(distinct) - 1)
        upto = upto + torch.bincount(near[distinct[near] == found], minlength=len(distinct))
        counts.append(upto)
    before = torch.stack(counts).T.cpu().tolist()
    places = []
    for i, n, pattern in zip(which.cpu().tolist(), nth, patterns.cpu().tolist(), strict=True):
        block = next(b for b in range(len(starts)) if before[i][b + 1] >= n)
        equal = (bits(starts[block]) == pattern).nonzero()
        places.append(starts[block] + int(equal[n - 1 - before[i][block], 0]))
    return places


def _counts(
    bits: Callable[[int], Tensor], starts: Sequence[int], digit: Callable[[Tensor], Tensor], n_digits: int
) -> Tensor:
    total: Tensor | None = None
    for start in starts:
        counted = torch.bincount(digit(bits(start)), minlength=n_digits)
        total = counted if total is None else total.add_(counted)
    assert total is not None
    return total


def _from_the_top(counts: Tensor) -> Tensor:
    """Return how many are counted at each digit of the last dimension and above."""
    return counts.flip(-1).cumsum(-1).flip(-1)


def _last_reaching(reaching: Tensor, wanted: Tensor) -> Tensor:
    """Return the highest digit that reaches down to the k-th."""
    return torch.searchsorted(-reaching, -wanted, right=True) - 1
