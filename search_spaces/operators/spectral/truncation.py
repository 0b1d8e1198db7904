"""Operators that keep the leading singular components of each task vector and add up what they keep."""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands
from search_spaces.operators.spectral.matrices import Matrices, mean_of_deltas, merge_matrices, sum_of_deltas


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
