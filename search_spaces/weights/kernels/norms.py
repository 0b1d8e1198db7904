"""The L1 norms of a task vector before and after it is sparsified, in blocks, with the bits of `sparsify.l1_norm`."""

from __future__ import annotations

import math

import torch

from search_spaces.operators.counter import segments
from search_spaces.operators.sparsify import SUMMED_IN_A_ROW, row_sums
from search_spaces.operators.threshold import Magnitudes
from search_spaces.weights.kernels.blocks import numbers_of, without_ties
from search_spaces.weights.kernels.elementwise import Row, survivors
from search_spaces.weights.kernels.form import Form, Merge, Part, Survivors

_AT_ONCE = 64 * SUMMED_IN_A_ROW


def l1_norms(magnitudes: Magnitudes, n: int, part: Part, surviving: Survivors) -> tuple[float, float]:
    """Return Σ|δ| and Σ|δ̂|.

    Args:
        magnitudes: computes a part of |δ| anew; what is dropped does not depend on the sign.
        n: how many elements it has.
        part: the numbers that it is sparsified by.
        surviving: how it is sparsified.
    """
    merge = Merge(Form(n_parents=1, dtype=torch.float32, survivors=surviving), (), None, (part,))
    places = torch.arange(min(n, _AT_ONCE), dtype=torch.int32)

    def sums(block: tuple[int, int, int, int]) -> tuple[list[float], list[float]]:
        segment, first, start, stop = block
        values = magnitudes(slice(start, stop))
        before = row_sums(values)
        ties = any(start <= last < stop for _, last in (part.low, part.high))
        numbers = numbers_of(merge if ties else without_ties(merge, start), segment, first)
        row = Row(numbers.reals[0], numbers.integers[0], None if part.ranks is None else part.ranks[..., start:stop])
        index = places[: stop - start] + (start - first)
        return before, row_sums(survivors(merge.form, values, index, row, ties=ties))

    blocks = [
        (segment, first, start, min(start + _AT_ONCE, end))
        for segment, first, end in segments(n)
        for start in range(first, end, _AT_ONCE)
    ]
    rows = [sums(block) for block in blocks]
    return math.fsum(x for before, _ in rows for x in before), math.fsum(x for _, after in rows for x in after)
