"""Merging without a base: an anchor and low-rank task vectors, both estimated from the parents."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands
from search_spaces.operators.spectral.decomposition import soft_thresholded, svd
from search_spaces.operators.spectral.matrices import has_spectrum, taking_part

# Descent has arrived when no element moves by more than this share of the largest.
SETTLED = 1e-7


def lore(operands: Operands) -> Tensor:
    """Return θ̂ + λ Σ wᵢδ̂ᵢ with an anchor θ̂ and low-rank task vectors δ̂ᵢ that explain the parents.

    They minimise Σ ‖θ̂ + δ̂ᵢ - θᵢ‖² + μ Σ ‖δ̂ᵢ‖_* by coordinate descent over the parents whose weight is not 0: θ̂ is the
    mean of θᵢ - δ̂ᵢ, then δ̂ᵢ the singular values of θᵢ - θ̂ lessened by μ/2. The threshold μ/2 is `kappa` times the
    largest singular value of all θᵢ - mean θ, so that it does not depend on the weights' unit; the paper's is absolute,
    and its printed objective squares the nuclear norm, which thresholding does not minimise. Tensors without a spectrum
    get the mean of the parents.

    Reference: Liu et al. 2025, "LoRE-Merging" (arXiv 2502.10749), section 3.
    """
    inputs = taking_part(operands) or tuple(range(len(operands.tensors)))
    parents = [operands.tensors[i] for i in inputs]
    if not has_spectrum(operands):
        return _mean(parents)
    kappa, iterations = operands.number("kappa"), int(operands.number("iterations"))

    def estimate() -> tuple[Tensor, ...]:
        if parents[0].ndim == 2:
            return _descend(parents, kappa=kappa, iterations=iterations)
        experts = [_descend(each, kappa=kappa, iterations=iterations) for each in zip(*parents, strict=True)]
        return tuple(torch.stack(part) for part in zip(*experts, strict=True))

    what = f"lore, kappa {kappa!r}, {iterations} iterations"
    anchor, *deltas = estimate() if operands.factors is None else operands.factors(what, inputs, estimate)
    merged, weights, scale = anchor.clone(), operands.numbers("weight"), operands.number("lambda")
    for i, delta in zip(inputs, deltas, strict=True):
        merged.add_(delta, alpha=scale * weights[i])
    return merged


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    """Return the mean; of tensors that are equal, bit for bit any of them."""
    first, *others = tensors
    excess = torch.zeros_like(first)
    for tensor in others:
        excess.add_(tensor - first)
    return excess.div_(len(tensors)).add_(first)


def _descend(parents: Sequence[Tensor], *, kappa: float, iterations: int) -> tuple[Tensor, ...]:
    """Return the anchor, then every parent's low-rank task vector.

    With xᵢ = θᵢ - mean θ, whose mean is 0, the anchor is mean θ minus the mean of the δ̂ᵢ.
    """
    centre = _mean(parents)
    residuals = [parent - centre for parent in parents]
    threshold = kappa * max(float(s[0]) if len(s) else 0.0 for s in (svd(residual).s for residual in residuals))
    largest = max(float(residual.abs().max()) for residual in residuals)
    deltas = [torch.zeros_like(centre) for _ in parents]
    shift = torch.zeros_like(centre)
    for _ in range(iterations):
        shift = _mean(deltas)
        before, deltas = deltas, [soft_thresholded(residual + shift, threshold) for residual in residuals]
        moved = max(float((new - old).abs().max()) for new, old in zip(deltas, before, strict=True))
        if moved <= SETTLED * largest:
            break
    return centre - shift, *deltas
