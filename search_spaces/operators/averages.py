"""Averages of the parents' weights: no base, no task vectors."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.operators.operator import Operands

# A sum of weights this small has no meaningful direction; dividing by it would blow rounding errors up.
VANISHING_SUM = 1e-8


def linear(operands: Operands) -> Tensor:
    """Return the weighted mean of the parents: θ = Σ wᵢθᵢ / Z, with Z = Σ wᵢ if `normalize` else 1.

    One parent with all the weight comes back bit for bit. Negative weights extrapolate.

    Raises:
        SpaceError: `normalize` and |Σ wᵢ| < 1e-8.

    Reference: Wortsman et al. 2022, "Model soups" (arXiv 2203.05482), section 2.
    """
    shares = normalised(operands.numbers("weight")) if operands.parameters["normalize"] else operands.numbers("weight")
    return weighted_sum(operands.tensors, shares)


def passthrough(operands: Operands) -> Tensor:
    """Return a copy of the only parent, times `scale`; bit for bit at scale 1.

    Reference: frankenmerges, e.g. Kim et al. 2023, "SOLAR" (arXiv 2312.15166).
    """
    scale = float(operands.inputs[0]["scale"])
    return operands.tensors[0].clone() if scale == 1.0 else operands.tensors[0] * scale


def normalised(weights: Sequence[float]) -> list[float]:
    """Return the weights divided by their sum.

    Raises:
        SpaceError: the sum vanishes.
    """
    total = sum(weights)
    if abs(total) < VANISHING_SUM:
        raise SpaceError(
            f"weight: expected weights whose sum is not 0, because normalize is on; found {list(weights)}. "
            "Change a weight, or set normalize: false"
        )
    return [weight / total for weight in weights]


def weighted_sum(tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Return Σ sᵢxᵢ, accumulated in float32; parents of share 0 are not read."""
    used = [(tensor, share) for tensor, share in zip(tensors, shares, strict=True) if share != 0.0]
    if not used:
        return tensors[0].new_zeros(tensors[0].shape)
    first, share = used[0]
    total = first.clone() if share == 1.0 else first * share
    for tensor, share in used[1:]:
        total.add_(tensor, alpha=share)
    return total
