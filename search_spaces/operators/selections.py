"""Merging task vectors by other rules than a pipeline: angles, competitions, claims, selections of a pair."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from search_spaces.operators.kernels.blocks import merged_deltas
from search_spaces.operators.kernels.sparsify import n_kept
from search_spaces.operators.operator import Operands
from search_spaces.operators.task_vectors import pipeline


def model_stock(operands: Operands) -> Tensor:
    """Return τ = t·mean δᵢ, t = N·c / (1 + (N - 1)·c), c the mean cosine between the N task vectors of one tensor.

    Parallel task vectors give t = 1, orthogonal ones t = 0. A zero task vector counts as orthogonal to all; mergekit
    shrinks the cosine of any pair with ‖δᵢ‖‖δⱼ‖ < 1e-6 as well. `filter_wise` takes one t per row. λ multiplies t.

    Reference: Jang et al. 2024, "Model Stock" (arXiv 2403.19522), equation 2 and appendix A.
    """
    by_row = bool(operands.parameters["filter_wise"]) and operands.task_origin.dim() > 1
    shape = operands.task_origin.shape
    deltas = [(t - operands.task_origin).reshape(shape[0] if by_row else 1, -1) for t in operands.tensors]
    cosine = _mean_cosine(deltas, angles=operands.parameters["mean_of"] == "angles")
    n = len(deltas)
    divisor = 1.0 + (n - 1) * cosine
    ratio = n * cosine / torch.where(divisor.abs() < 1e-9, 1.0, divisor)
    if operands.parameters["clamp"]:
        ratio = ratio.clamp(0.0, 1.0)
    mean = deltas[0]
    for delta in deltas[1:]:
        mean += delta
    return mean.mul_((ratio / n).to(mean.dtype)).view(shape)


def _mean_cosine(deltas: list[Tensor], *, angles: bool) -> Tensor:
    """Return the mean over all pairs, float64 (rows, 1); of the angles' cosine if `angles`."""
    norms = [torch.linalg.vector_norm(delta, dim=1, keepdim=True, dtype=torch.float64) for delta in deltas]
    pairs = []
    for (a, norm_a), (b, norm_b) in itertools.combinations(zip(deltas, norms, strict=True), 2):
        product = norm_a * norm_b
        dot = torch.sum(a * b, dim=1, keepdim=True, dtype=torch.float64)
        cosine = torch.where(product > 0.0, dot / torch.where(product > 0.0, product, 1.0), 0.0).clamp(-1.0, 1.0)
        pairs.append(torch.where(product > 0.0, torch.acos(cosine), math.pi / 2) if angles else cosine)
    mean = torch.stack(pairs).mean(dim=0)
    return torch.cos(mean) if angles else mean


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
        worth = _worthiest(within.mul_(torch.tanh(delta * cross)), operands.number("ratio"))
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


def _worthiest(values: Tensor, ratio: float) -> Tensor:
    """Return the largest share of the values mapped to (0, 1], the others to 0."""
    n = values.numel()
    k = n_kept(n, ratio)
    if k < n:
        values = torch.maximum(values, torch.kthvalue(values.flatten(), n - k).values)
    return _minmax(values)


def _minmax(values: Tensor) -> Tensor:
    """Return the values mapped to [0, 1] by a straight line; zeros if they are all equal."""
    if values.numel() == 0:
        return values
    low, high = torch.aminmax(values)
    return (values - low).div_(torch.where(high > low, high - low, 1.0))


def consensus_ta(operands: Operands) -> Tensor:
    """Return Σ wᵢδᵢ where at least `agreement` parents claim the element, else 0.

    Parent i claims it if |wᵢδᵢ| > λ·|Σⱼwⱼδⱼ - wᵢδᵢ|, λ being `mask_threshold` (its TALL mask). `agreement` 0 is task
    arithmetic; more than there are parents gives the base.

    Reference: Wang et al. 2024, "Localizing Task Information for Improved Model Merging and Compression" (TALL-masks,
    arXiv 2405.07813), equations 3 and 5.
    """
    merged = torch.zeros_like(operands.task_origin)
    for vote in _votes(operands):
        merged.add_(vote)
    return _claimed(operands, merged)


def consensus_ties(operands: Operands) -> Tensor:
    """Return as `consensus_ta` does, with the claims and the result resting on TIES' sum instead of the plain sum.

    The merged task vector is Σ wᵢδ̂ᵢ over the trimmed task vectors of the elected sign, not divided; the parents' own
    task vectors stay whole.

    Reference: Wang et al. 2024 (TALL-masks, arXiv 2405.07813), section 4.
    """
    return _claimed(operands, merged_deltas(pipeline(operands, "largest", "sign")).view(operands.task_origin.shape))


def _votes(operands: Operands) -> Iterator[Tensor]:
    for tensor, weight in zip(operands.tensors, operands.numbers("weight"), strict=True):
        yield (tensor - operands.task_origin).mul_(weight)


def _claimed(operands: Operands, merged: Tensor) -> Tensor:
    threshold = operands.number("mask_threshold")
    claims = torch.zeros_like(merged)
    for vote in _votes(operands):
        claims.add_(vote.abs() > (merged - vote).abs_().mul_(threshold))
    return merged.mul_(claims >= operands.number("agreement"))


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


def ram(operands: Operands) -> Tensor:
    """Return τ, element by element the mean of the δᵢ that are active there, |δᵢ| > `epsilon`; 0 where none is.

    Reference: RAM (Reinforced Agent Merging, arXiv 2601.13572), as mergekit implements it.
    """
    return _averaged_where_active(operands, gain=0.0, most=0.0)


def ramplus_tl(operands: Operands) -> Tensor:
    """Return τ as in `ram`, with more of what one parent alone changed.

    Where only parent i is active, δᵢ counts 1 + r·min(#shared/#unique, α) times, its active elements in this tensor
    counted: those that others share, and those that are its own.

    Reference: RAM+ (Reinforced Agent Merging, arXiv 2601.13572), tensor by tensor as mergekit implements it.
    """
    return _averaged_where_active(operands, gain=operands.number("r"), most=operands.number("alpha"))


def _averaged_where_active(operands: Operands, *, gain: float, most: float) -> Tensor:
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
