"""RAM: average what several parents changed, keep what one changed alone."""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands


def ram(operands: Operands) -> Tensor:
    """Return τ, element by element the mean of the δᵢ that are active there, |δᵢ| > `epsilon`; 0 where none is.

    Reference: RAM (Reinforced Agent Merging, arXiv 2601.13572), as mergekit implements it.
    """
    return _merged(operands, gain=0.0, most=0.0)


def ramplus_tl(operands: Operands) -> Tensor:
    """Return τ as in `ram`, with more of what one parent alone changed.

    Where only parent i is active, δᵢ counts 1 + r·min(#shared/#unique, α) times, its active elements in this tensor
    counted: those that others share, and those that are its own.

    Reference: RAM+ (Reinforced Agent Merging, arXiv 2601.13572), tensor by tensor as mergekit implements it.
    """
    return _merged(operands, gain=operands.number("r"), most=operands.number("alpha"))


def _merged(operands: Operands, *, gain: float, most: float) -> Tensor:
    origin, threshold = operands.task_origin, operands.number("epsilon")
    deltas = [tensor - origin for tensor in operands.tensors]
    active = [delta.abs() > threshold for delta in deltas]
    count = torch.zeros_like(origin)
    for here in active:
        count.add_(here)
    merged = torch.zeros_like(origin)
    for delta, here in zip(deltas, active, strict=True):
        unique = here & (count == 1.0)
        n_unique = int(torch.count_nonzero(unique))
        n_shared = int(torch.count_nonzero(here)) - n_unique
        factor = 1.0 + gain * min(n_shared / max(n_unique, 1), most)
        merged.add_(delta.mul_(here).mul_(torch.where(unique, factor, 1.0)))
    return merged.div_(count.clamp_(min=1.0))
