"""Interpolation along great circles, and means on the sphere."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from search_spaces.operators.averages import normalised
from search_spaces.operators.operator import Operands

# Beyond this cosine (either sign) sin θ is too small to divide by, and the line is as good as the arc.
NEARLY_PARALLEL = 0.9995
ZERO_NORM = 1e-8
# The same for nuslerp, which computes its angles without cancellation: the arc differs from the line by less than this.
SMALLEST_SINE = 1e-6
# What is left of unit vectors that cancel in float32 is rounding error of about this size.
CANCELLED = 1e-6


def slerp(operands: Operands) -> Tensor:
    """Return the spherical interpolation of two parents, each tensor taken as one flat vector.

    With cos θ = ⟨v₀/‖v₀‖, v₁/‖v₁‖⟩ the result is [sin((1-t)θ)·v₀ + sin(tθ)·v₁] / sin θ on the vectors as they are, so
    their norms are mixed too. Nearly parallel or antiparallel vectors (|cos θ| > 0.9995) and zero vectors are
    interpolated linearly; for zero vectors the references mix at a right angle instead, which damps the other parent.
    t = 0 and t = 1 return a parent bit for bit; t outside [0, 1] extrapolates.

    Reference: Shoemake 1985, "Animating rotation with quaternion curves", equation for Slerp.
    """
    first, second = operands.tensors
    t = operands.number("t")
    if t in (0.0, 1.0):
        return (first if t == 0.0 else second).clone()
    share_first, share_second = _shares(cosine(first, second), t)
    return (first * share_first).add_(second, alpha=share_second)


def nuslerp(operands: Operands) -> Tensor:
    """Return the spherical interpolation of two parents (or their task vectors) at t = w₂ / (w₁ + w₂).

    The tensor is one vector, or every row is one (without `nuslerp_flatten`; every column with `nuslerp_row_wise`, as
    mergekit's code has it, whose manual says the opposite). Weights that cancel mean t = 1/2. Vectors that are zero,
    parallel or antiparallel (sin θ < 1e-6) are interpolated linearly.

    Reference: mergekit's method of this name; Shoemake 1985.
    """
    first, second = _vectors(operands)
    weights = operands.numbers("weight")
    t = weights[1] / sum(weights) if abs(sum(weights)) >= 1e-6 else 0.5
    if t in (0.0, 1.0):
        return operands.tensors[int(t)].clone()
    rows_first, rows_second = _as_rows(operands, first), _as_rows(operands, second)
    share_first, share_second = _row_shares(rows_first, rows_second, t)
    merged = (rows_first * share_first).add_(rows_second * share_second)
    merged = (merged.T if _by_column(operands) else merged).reshape(first.shape)
    return _onto_base(operands, merged.contiguous())


def multislerp(operands: Operands) -> Tensor:
    """Return the weighted mean direction of the parents (or their task vectors), with the weighted mean of their norms.

    θ = Σ wᵢ‖xᵢ‖ · m̃/‖m̃‖, m̃ = Σ wᵢ xᵢ/‖xᵢ‖. mergekit averages in the tangent space at m̃/‖m̃‖, where the weighted mean is
    zero by construction, so its longer form amounts to this one. Directions that cancel are averaged linearly.

    Raises:
        SpaceError: `normalize_weights` and weights that cancel.

    Reference: Goddard 2024, "Multi-SLERP" (goddard.blog); mergekit's method of this name.
    """
    vectors, weights = _vectors(operands), operands.numbers("weight")
    weights = normalised(weights) if operands.parameters["normalize_weights"] else weights
    alone = _only_one(operands, weights)
    if alone is not None:
        return alone
    eps = operands.number("eps")
    norms = [_norm(vector) for vector in vectors]
    direction = _weighted_sum(vectors, [w / n if n > eps else 0.0 for w, n in zip(weights, norms, strict=True)])
    length = _norm(direction)
    if length <= max(eps, CANCELLED * sum(map(abs, weights))):
        return _onto_base(operands, _weighted_sum(vectors, weights))
    scale = sum(w * n for w, n in zip(weights, norms, strict=True)) / length
    return _onto_base(operands, direction.mul_(scale))


def karcher(operands: Operands) -> Tensor:
    """Return the Riemannian (Karcher) mean of the parents' directions (or their task vectors'), with their mean norm.

    u ← exp_u(Σ aᵢ log_u(uᵢ)) from the normalised mean, until the step is shorter than `tol`; aᵢ = wᵢ/Σ wⱼ over the
    tensors that are not zero, and the result is u·Σ wᵢ‖xᵢ‖/Σ wᵢ over all. A direction opposite to u has no
    logarithm and is left out of that step.

    Raises:
        SpaceError: weights whose sum is zero.

    Reference: Karcher 1977, "Riemannian center of mass and mollifier smoothing"; mergekit's method of this name.
    """
    vectors, weights = _vectors(operands), normalised(operands.numbers("weight"))
    alone = _only_one(operands, weights)
    if alone is not None:
        return alone
    norms = [_norm(vector) for vector in vectors]
    used = [i for i, norm in enumerate(norms) if norm > 0.0 and weights[i] > 0.0]
    if not used:
        return _onto_base(operands, torch.zeros_like(vectors[0]))
    units = [vectors[i] / norms[i] for i in used]
    mass = sum(weights[i] for i in used)
    point = _karcher_point(
        units,
        [weights[i] / mass for i in used],
        most_iterations=int(operands.parameters["max_iter"]),
        tolerance=operands.number("tol"),
    )
    return _onto_base(operands, point.mul_(sum(w * n for w, n in zip(weights, norms, strict=True))))


def _karcher_point(
    units: Sequence[Tensor], shares: Sequence[float], *, most_iterations: int, tolerance: float
) -> Tensor:
    point = _weighted_sum(units, shares)
    length = _norm(point)
    point = point / length if length > tolerance else units[0].clone()
    for _ in range(most_iterations):
        step = torch.zeros_like(point)
        for unit, share in zip(units, shares, strict=True):
            cos_angle = float(torch.sum(point * unit, dtype=torch.float64))
            tangent = unit - cos_angle * point
            sine = _norm(tangent)
            if sine > ZERO_NORM:
                step.add_(tangent, alpha=share * math.atan2(sine, cos_angle) / sine)
        length = _norm(step)
        if length < tolerance:
            break
        point = (point * math.cos(length)).add_(step, alpha=math.sin(length) / length)
        point.div_(_norm(point))
    return point


def cosine(first: Tensor, second: Tensor) -> float | None:
    """Return the cosine between two tensors taken as flat vectors, in [-1, 1]; None when one of them is zero."""
    # float64 sums: the cosines of fine-tunes lie within 1e-3 of 1, where arccos has no slope to spare.
    norms = [_norm(v) for v in (first, second)]
    if min(norms) <= ZERO_NORM:
        return None
    dot = float(torch.sum(first * second, dtype=torch.float64))
    return max(-1.0, min(1.0, dot / (norms[0] * norms[1])))


def _shares(cos_angle: float | None, t: float) -> tuple[float, float]:
    if cos_angle is None or abs(cos_angle) > NEARLY_PARALLEL:
        return 1.0 - t, t
    angle = math.acos(cos_angle)
    return math.sin((1.0 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


def _row_shares(first: Tensor, second: Tensor, t: float) -> tuple[Tensor, Tensor]:
    norms = [torch.linalg.vector_norm(v, dim=1, keepdim=True, dtype=torch.float64) for v in (first, second)]
    units = [v.double() / torch.where(n > 0.0, n, 1.0) for v, n in zip((first, second), norms, strict=True)]
    # Half the angle between unit vectors is exact where arccos is not: tan(θ/2) = ‖u - v‖ / ‖u + v‖.
    angle = 2.0 * torch.atan2(*(torch.linalg.vector_norm(v, dim=1, keepdim=True) for v in _difference_and_sum(*units)))
    sine = torch.sin(angle)
    straight = (sine.abs() < SMALLEST_SINE) | (norms[0] == 0.0) | (norms[1] == 0.0)
    sine = torch.where(straight, 1.0, sine)
    share_first = torch.where(straight, 1.0 - t, torch.sin((1.0 - t) * angle) / sine)
    share_second = torch.where(straight, t, torch.sin(t * angle) / sine)
    return share_first.to(first.dtype), share_second.to(first.dtype)


def _difference_and_sum(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    return first - second, first + second


def _by_column(operands: Operands) -> bool:
    flat = bool(operands.parameters["nuslerp_flatten"]) or operands.tensors[0].dim() < 2
    return bool(operands.parameters["nuslerp_row_wise"]) and not flat


def _as_rows(operands: Operands, vector: Tensor) -> Tensor:
    if operands.parameters["nuslerp_flatten"] or vector.dim() < 2:
        return vector.reshape(1, -1)
    return vector.reshape(vector.shape[0], -1).T if _by_column(operands) else vector.reshape(-1, vector.shape[-1])


def _vectors(operands: Operands) -> Sequence[Tensor]:
    if operands.parameters["deltas"]:
        return tuple(tensor - operands.task_origin for tensor in operands.tensors)
    return operands.tensors


def _only_one(operands: Operands, shares: Sequence[float]) -> Tensor | None:
    """Return the parent that has all the weight, bit for bit; None if there is no such parent."""
    if sorted(shares) != [0.0] * (len(shares) - 1) + [1.0]:
        return None
    return operands.tensors[list(shares).index(1.0)].clone()


def _onto_base(operands: Operands, merged: Tensor) -> Tensor:
    return merged.add_(operands.task_origin) if operands.parameters["deltas"] else merged


def _norm(vector: Tensor) -> float:
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


def _weighted_sum(tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Return Σ sᵢxᵢ, accumulated in float32; parents of share 0 are not read."""
    used = [(tensor, share) for tensor, share in zip(tensors, shares, strict=True) if share != 0.0]
    if not used:
        return tensors[0].new_zeros(tensors[0].shape)
    first, share = used[0]
    total = first.clone() if share == 1.0 else first * share
    for tensor, share in used[1:]:
        total.add_(tensor * share)  # apart, so that products are rounded whatever the machine can fuse
    return total
