"""Masks of elementwise merges. They multiply, so that NaN stays NaN and zero keeps its sign.

Eagerly they are 0 or 1 in float32, compared in place: torch makes bools, and multiplies by them, ten times as slowly.
Compiled they are bools that choose a factor: half the instructions, which is what counts on CPUs without AVX-512.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def compiling() -> bool:
    """Return whether this is torch that compiles."""
    return bool(torch.compiler.is_compiling())


def masked(delta: Tensor, mask: Tensor | None, factors: Sequence[Tensor]) -> Tensor:
    """Return δ times a mask times the factors, each product rounded; may overwrite δ."""
    if mask is not None and mask.dtype is torch.bool:
        if not factors:
            return torch.where(mask, delta, delta * 0.0)
        # The same bits: what is dropped becomes 0 times δ, with the factor's sign too.
        delta, factors = delta * torch.where(mask, factors[0], factors[0] * 0.0), factors[1:]
    elif mask is not None:
        delta = delta.mul_(mask)
    for factor in factors:
        delta = delta.mul_(factor)
    return delta


def above(magnitudes: Tensor, threshold: Tensor, below: Tensor, last: Tensor, index: Tensor | None) -> Tensor:
    """Return a mask of what is above a threshold or, up to an index, equals it; may overwrite the magnitudes.

    Below is the next smaller float32 of the threshold: what equals the one is above the other.
    """
    if index is None:
        return magnitudes > threshold if compiling() else magnitudes.gt_(threshold)
    if compiling():
        return magnitudes > torch.where(index > last, threshold, below)
    return ((magnitudes > threshold) | ((magnitudes == threshold) & (index <= last))).to(torch.float32)


def chosen(mask: Tensor, number: Tensor) -> Tensor:
    """Return a number where a mask has 1, else 0."""
    return torch.where(mask, number, torch.zeros_like(number)) if mask.dtype is torch.bool else mask * number
