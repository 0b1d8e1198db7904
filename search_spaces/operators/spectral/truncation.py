"""Operators that keep the leading part of each task vector's spectrum and add up what they keep."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands
from search_spaces.operators.spectral.decomposition import soft_thresholded, svd
from search_spaces.operators.spectral.matrices import (
    Matrices,
    has_spectrum,
    mean_of_deltas,
    merge_matrices,
    sum_of_deltas,
    taking_part,
)


def star(operands: Operands) -> Tensor:
    """Return τ, the mean of wᵢδ̂ᵢ, δ̂ᵢ cut to the components that hold `eta` percent of its nuclear norm.

    r is the smallest rank with Σ_{j≤r} σⱼ ≥ η/100·Σσ; what is kept is scaled by Σσ / Σ_{j≤r} σⱼ, so that δ̂ᵢ has the
    nuclear norm of δᵢ. η = 100 keeps δᵢ as it is. Tensors without a spectrum get the mean of wᵢδᵢ.

    Reference: Lee et al. 2025, "STAR: Spectral Truncation and Rescale" (arXiv 2502.10339), section 3.
    """
    return merge_matrices(operands, _rescaled, mean_of_deltas)


def adarank(operands: Operands) -> Tensor:
    """Return τ = Σ wᵢδ̂ᵢ, δ̂ᵢ cut to a chosen part of its singular components.

    Of r = min(o, n) components in descending order, the first ⌊`skip_share`·r⌋ are dropped (directions that tasks have
    in common), and of the rest those before ⌊`rank_share`·r⌋ are kept, but at least one. The paper learns which to keep
    on unlabelled data; here a search chooses. Tensors without a spectrum get Σ wᵢδᵢ.

    Reference: Lee et al. 2025, "AdaRank" (arXiv 2503.22178), equation 4, with a mask that is a range.
    """
    return merge_matrices(operands, _ranged, sum_of_deltas)


def _rescaled(matrices: Matrices) -> Tensor:
    total = torch.zeros_like(matrices.delta(0))
    for j, (weight, eta) in enumerate(zip(matrices.numbers("weight"), matrices.numbers("eta"), strict=True)):
        if eta == 100.0:
            total.add_(matrices.delta(j), alpha=weight)
            continue
        factors = matrices.svd(j)
        if not len(factors.s):
            continue
        held = factors.s.double().cumsum(0)
        rank = int(torch.searchsorted(held, held[-1] * (eta / 100.0))) + 1
        kept = factors.part(0, rank)
        gain = weight * float(held[-1] / held[len(kept.s) - 1])
        total.addmm_(kept.u * kept.s, kept.vh, alpha=gain)
    return total.div_(len(matrices.inputs))


def _ranged(matrices: Matrices) -> Tensor:
    total = torch.zeros_like(matrices.delta(0))
    skipped = int(matrices.operands.number("skip_share") * matrices.rank)
    for j, (weight, share) in enumerate(zip(matrices.numbers("weight"), matrices.numbers("rank_share"), strict=True)):
        stop = max(skipped + 1, int(share * matrices.rank))
        if skipped == 0 and stop == matrices.rank:
            total.add_(matrices.delta(j), alpha=weight)
            continue
        kept = matrices.svd(j).part(skipped, stop)
        total.addmm_(kept.u * kept.s, kept.vh, alpha=weight)
    return total


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
