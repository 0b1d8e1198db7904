"""Interpolation along great circles."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands

# Beyond this cosine (either sign) sin θ is too small to divide by, and the line is as good as the arc.
NEARLY_PARALLEL = 0.9995
ZERO_NORM = 1e-8


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


def cosine(first: Tensor, second: Tensor) -> float | None:
    """Return the cosine between two tensors taken as flat vectors, in [-1, 1]; None when one of them is zero."""
    # float64 sums: the cosines of fine-tunes lie within 1e-3 of 1, where arccos has no slope to spare.
    norms = [float(torch.linalg.vector_norm(v, dtype=torch.float64)) for v in (first, second)]
    if min(norms) <= ZERO_NORM:
        return None
    dot = float(torch.sum(first * second, dtype=torch.float64))
    return max(-1.0, min(1.0, dot / (norms[0] * norms[1])))


def _shares(cos_angle: float | None, t: float) -> tuple[float, float]:
    if cos_angle is None or abs(cos_angle) > NEARLY_PARALLEL:
        return 1.0 - t, t
    angle = math.acos(cos_angle)
    return math.sin((1.0 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
