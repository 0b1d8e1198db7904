"""The L1 norms of a task vector before and after it is sparsified, in blocks, with the bits of `sparsify.l1_norm`."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from search_spaces.operators.counter import segments
from search_spaces.operators.sparsify import SUMMED_IN_A_ROW, row_sums
from search_spaces.weights.kernels.blocks import numbers_of
from search_spaces.weights.kernels.elementwise import Row, survivors
from search_spaces.weights.kernels.form import Form, Merge, Part, Survivors

_AT_ONCE = 8 * SUMMED_IN_A_ROW


def l1_norms(delta: Callable[[slice], Tensor], n: int, part: Part, surviving: Survivors) -> tuple[float, float]:
    """Return Σ|δ| and Σ|δ̂|.

    Args:
        delta: computes a part of the task vector anew, float32.
        n: how many elements it has.
        part: the numbers that it is sparsified by.
        surviving: how it is sparsified.
    """
    form = Form(n_parents=1, dtype=torch.float32, survivors=surviving)
    before, after = [], []
    for segment, first, end in segments(n):
        numbers = numbers_of(Merge(form, (), None, (part,)), segment, first)
        for start in range(first, end, _AT_ONCE):
            here = slice(start, min(start + _AT_ONCE, end))
            values = delta(here)
            before += row_sums(values, torch.abs)
            ranks = None if part.ranks is None else part.ranks[..., here]
            row = Row(numbers.reals[0], numbers.integers[0], ranks)
            index = torch.arange(start - first, here.stop - first, dtype=torch.int32)
            after += row_sums(survivors(form, values, index, row, ties=True), torch.abs)
    return math.fsum(before), math.fsum(after)
