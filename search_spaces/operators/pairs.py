"""Merging one parent into the base, element by element."""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands


def nearswap(operands: Operands) -> Tensor:
    """Return τ = w·δ, w = min(t/|δ|, 1): differences up to t move fully, larger ones by t.

    Reference: mergekit's method of this name (after alchemonaut's "QuartetAnemoi" merge of 2024); no paper.
    """
    delta = operands.tensors[0] - operands.task_origin
    t = operands.number("t")
    return delta.clamp_(-t, t)


def arcee_fusion(operands: Operands) -> Tensor:
    """Return τ = δ where its importance is at least the median plus `iqr_factor` interquartile ranges, else 0.

    The importance of an element is |δ| times the Kullback-Leibler divergence of its row, softmax(θ) from softmax(θ₀)
    along the last dimension. Quantiles are those of rank ⌊q·(n - 1)⌋; mergekit samples tensors of over a million
    elements, here all count.

    Reference: mergekit's method of this name; no paper.
    """
    origin = operands.task_origin
    delta = operands.tensors[0] - origin
    if delta.numel() == 0:
        return delta
    importance = delta.abs().mul_(_divergence(operands.tensors[0], origin))
    ranks = importance.flatten()
    first, median, third = (_quantile(ranks, q) for q in (0.25, 0.5, 0.75))
    return delta.mul_(importance >= median + operands.number("iqr_factor") * (third - first))


def _divergence(weights: Tensor, base: Tensor) -> Tensor:
    """Return KL(softmax(weights) ‖ softmax(base)) of each row, the last dimension kept with size 1."""
    # Rows of fine-tunes are so close that rounding decides many a comparison: float32 where mergekit has it, and sums
    # in float64, so that the result does not depend on the processor's vector width.
    ours, theirs = _softmax(weights), _softmax(base)
    terms = ours * torch.log(ours / theirs)
    return torch.sum(terms, dim=-1, keepdim=terms.dim() > 0, dtype=torch.float64).to(weights.dtype)


def _softmax(weights: Tensor) -> Tensor:
    top = weights.amax(dim=-1, keepdim=weights.dim() > 0)
    exponentials = torch.exp((weights - top).double()).to(weights.dtype)
    total = torch.sum(exponentials, dim=-1, keepdim=weights.dim() > 0, dtype=torch.float64)
    return exponentials.mul_(1.0 / total.to(weights.dtype)).add_(1e-8)


def _quantile(values: Tensor, q: float) -> float:
    return float(torch.kthvalue(values, 1 + int(q * (values.numel() - 1))).values)
