"""Means of task vectors, element by element weighted by how sure each parent is of the element."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from search_spaces.operators.averages import normalised
from search_spaces.operators.kernels.sparsify import n_kept
from search_spaces.operators.kernels.threshold import trim_to
from search_spaces.operators.operator import Operands


def fisher(operands: Operands) -> Tensor:
    """Return τ = Σ wᵢPᵢδᵢ / Σ wᵢPᵢ, element by element, Pᵢ = (Fᵢ + κ·mean Fᵢ)^p of the diagonal Fisher information Fᵢ.

    The power p is 1 in the paper, 0 gives the plain mean, 0.5 weighs as Adam scales. The floor κ is a share of the
    tensor's mean, so that no unit matters; where no parent has any information, and for tensors without it, τ is the
    weighted mean. Fᵢ comes divided by its norm over the whole model, so that no parent counts more for larger
    gradients; `scale: tensor` divides it by its mean over the tensor instead.

    Raises:
        SpaceError: all weights are 0.

    Reference: Matena and Raffel 2022, "Merging Models with Fisher-Weighted Averaging" (arXiv 2111.09832), equation 4.
    """
    return _precision_mean(operands, "fisher", [1.0] * len(operands.tensors))


def ota(operands: Operands) -> Tensor:
    """Return τ = Σ mᵢwᵢPᵢδᵢ / Σ mᵢwᵢPᵢ, Pᵢ = (vᵢ + κ·mean vᵢ)^p of Adam's second moments vᵢ (OTA with FFG).

    mᵢ (fast Fisher grafting) keeps the share `density` of the elements with the largest vᵢδᵢ²; a parent that does not
    keep an element has no say in it, and where none does τ is 0. The default keeps all, the paper 0.3 to 0.4. Tensors
    without moments get the weighted mean of all elements. Differences from the authors' code: the share is kept by
    rank, theirs by an absolute threshold for each model; the floor κ is a share of the tensor's mean, theirs a number
    that must be tuned to the moments' size (at its default of 1e-8 it makes the weighting uniform).

    Raises:
        SpaceError: all weights are 0.

    Reference: "OTA-merging: Optimization Trajectory Aware model merging" (arXiv 2509.11167), with
    `exp_avg_sq` of the end of each parent's training.
    """
    return _precision_mean(operands, "moments", operands.numbers("density"))


def _precision_mean(operands: Operands, kind: str, densities: Sequence[float]) -> Tensor:
    weights = operands.numbers("weight")
    shares = normalised(weights)
    inputs = [i for i, weight in enumerate(weights) if weight != 0.0]
    deltas = [operands.tensors[i] - operands.task_origin for i in inputs]
    mean = _weighted(deltas, [torch.tensor(shares[i]) for i in inputs])
    found = [None if operands.statistic is None else operands.statistic(i, kind) for i in inputs]
    known = [each.to(torch.float32) for each in found if each is not None]
    if len(known) < len(inputs) or mean.numel() == 0:
        return mean
    precisions = _precisions(operands, known)
    kept = [_kept(known[j], delta, densities[i]) for j, (i, delta) in enumerate(zip(inputs, deltas, strict=True))]
    for i, precision, mask in zip(inputs, precisions, kept, strict=True):
        precision.mul_(shares[i])
        if mask is not None:
            precision.mul_(mask)
    nothing = mean if all(mask is None for mask in kept) else torch.zeros_like(mean)
    total = torch.stack(precisions).sum(0)
    return torch.where(total > 0.0, _weighted(deltas, [p / total for p in precisions]), nothing)


def _precisions(operands: Operands, known: Sequence[Tensor]) -> list[Tensor]:
    """Return (xᵢ + κ·mean xᵢ)^p, in units in which no power of them leaves float32's range."""
    power, floor = operands.number("power"), operands.number("floor")
    means = [float(each.double().mean()) for each in known]
    unit = max(means) or 1.0
    units = [(mean or 1.0) if operands.parameters.get("scale") == "tensor" else unit for mean in means]
    return [x.div(own).add_(floor * mean / own).pow_(power) for x, mean, own in zip(known, means, units, strict=True)]


def _kept(moments: Tensor, delta: Tensor, density: float) -> Tensor | None:
    """Return whether an element's v·δ² is among the share that is largest; None for all."""
    if density == 1.0:
        return None
    saliency = moments.div(float(moments.mean()) or 1.0).mul_(delta.square()).reshape(-1)
    trim = trim_to(saliency, n_kept(saliency.numel(), density))
    kept = saliency > trim.magnitude
    kept[: trim.last + 1] |= saliency[: trim.last + 1] == trim.magnitude
    return kept.view(delta.shape)


def _weighted(deltas: Sequence[Tensor], shares: Sequence[Tensor]) -> Tensor:
    """Return Σ sᵢδᵢ for shares that sum to 1, as δ₁ + Σ sᵢ(δᵢ - δ₁): equal ones are that one bit for bit."""
    merged = deltas[0].clone()
    for delta, share in zip(deltas[1:], shares[1:], strict=True):
        merged.add_((delta - deltas[0]).mul_(share))
    return merged
