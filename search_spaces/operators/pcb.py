"""PCB-Merging: elements compete within and between parents; the losers are dropped, the winners rescaled."""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces.operators import sparsify
from search_spaces.operators.operator import Operands


def pcb(operands: Operands) -> Tensor:
    """Return τ = Σ wᵢδ̃ᵢsᵢ / Σ sᵢ, sᵢ in [0, 1] what each element of parent i is worth.

    δ̃ᵢ is δᵢ with its magnitudes clipped to their quantiles [clip, 1 - clip]. Within the parent an element competes by
    exp(N·minmax(|δ̃ᵢ|)²), between parents by tanh(δᵢ·c), c the sum of all task vectors (cross: signs: the sum of
    sign(δⱼ)·minmax(|δ̃ⱼ|)). Of the product the largest share `ratio` survives, mapped to (0, 1]; the rest is 0. The
    competition is held in each tensor, where the authors hold it over the whole model; their scripts take a ratio of
    0.05 to 0.1 and wᵢ = 1.2.

    Reference: Du et al. 2024, "Parameter Competition Balancing for Model Merging" (arXiv 2410.02396), section 3.
    """
    deltas = [tensor - operands.task_origin for tensor in operands.tensors]
    clipped = [_clipped(delta, operands.number("clip")) for delta in deltas]
    cross = torch.zeros_like(deltas[0])
    for delta, kept in zip(deltas, clipped, strict=True):
        cross.add_(torch.sign(delta) * _minmax(kept.abs()) if operands.parameters["cross"] == "signs" else delta)
    merged, mass = torch.zeros_like(cross), torch.zeros_like(cross)
    for delta, kept, weight in zip(deltas, clipped, operands.numbers("weight"), strict=True):
        within = torch.exp(len(deltas) * _minmax(kept.abs()).square_())
        worth = _survivors(within.mul_(torch.tanh(delta * cross)), operands.number("ratio"))
        merged.add_(kept.mul_(worth), alpha=weight)
        mass.add_(worth)
    return merged.div_(mass.clamp_(min=1e-12))


def _clipped(delta: Tensor, share: float) -> Tensor:
    """Return the tensor with magnitudes clipped to their quantiles (nearest rank, rounded down)."""
    magnitudes, n = delta.abs(), delta.numel()
    if n < 2:
        return delta.clone()
    low, high = (torch.kthvalue(magnitudes.flatten(), 1 + int(q * (n - 1))).values for q in (share, 1.0 - share))
    return torch.sign(delta).mul_(torch.maximum(torch.minimum(magnitudes, high), low))


def _survivors(values: Tensor, ratio: float) -> Tensor:
    """Return the largest share of the values mapped to (0, 1], the others to 0."""
    n = values.numel()
    k = sparsify.n_kept(n, ratio)
    if k < n:
        values = torch.maximum(values, torch.kthvalue(values.flatten(), n - k).values)
    return _minmax(values)


def _minmax(values: Tensor) -> Tensor:
    """Return the values mapped to [0, 1] by a straight line; zeros if they are all equal."""
    if values.numel() == 0:
        return values
    low, high = torch.aminmax(values)
    return (values - low).div_(torch.where(high > low, high - low, 1.0))
