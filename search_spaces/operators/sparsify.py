"""Sparsifying one task vector: keep the largest elements, or a random share of them."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from search_spaces.operators.operator import Trim

# How a sparsified task vector is scaled: by 1/density (unbiased), back to its L1 norm (mergekit's `rescale`), or not.
Rescale = Literal["density", "l1", "none"]

# Dropping elements of a tensor this small (a norm, a bias) adds more noise than it removes interference: keep it whole.
FEWEST_TO_DROP_FROM = 1024


def n_kept(n: int, density: float) -> int:
    """Return how many of n elements a density in (0, 1] keeps: ⌊density·n + 1e-9⌋, but at least one of any.

    The 1e-9 forgives products such as 0.29·100 = 28.999…; the minimum keeps scalars and tiny norms from vanishing.
    """
    return min(n, max(1, math.floor(density * n + 1e-9)))


def trim(delta: Tensor, density: float) -> Trim:
    """Return the threshold that keeps exactly `n_kept` of the largest magnitudes of a float32 tensor.

    Order of preference: |x| descending, then flat index ascending.
    """
    magnitudes = delta.abs().flatten()
    n, k = magnitudes.numel(), n_kept(delta.numel(), density)
    if k == n:
        return Trim(-1.0, 0)  # everything is above -1
    threshold = torch.kthvalue(magnitudes, n - k + 1).values.item()
    return Trim(threshold, k - int((magnitudes > threshold).sum()))


def keep_largest(delta: Tensor, kept: Trim) -> Tensor:
    """Set to zero, in place, what a `Trim` does not keep; return the tensor."""
    magnitudes = delta.abs()
    mask = magnitudes > kept.magnitude
    if kept.n_ties and kept.magnitude > 0.0:  # ties at zero are zero whether they are kept or not
        ties = (magnitudes == kept.magnitude).flatten().nonzero().flatten()
        mask.view(-1)[ties[: kept.n_ties]] = True
    return delta.mul_(mask)


def drop_randomly(delta: Tensor, density: float, generator: torch.Generator) -> Tensor:
    """Set to zero, in place, each element with probability 1 - density; return the tensor.

    One generator state gives nested masks: what a density keeps, every larger density keeps too.

    Reference: Yu et al. 2024, "Language Models are Super Mario" (DARE, arXiv 2311.03099), equation 2.
    """
    if density == 1.0:
        return delta
    return delta.mul_(torch.rand(delta.shape, generator=generator) < density)


def l1_norm(delta: Tensor) -> float:
    """Return Σ|x|, summed in float64."""
    return float(torch.linalg.vector_norm(delta, ord=1, dtype=torch.float64))


def l1_gain(norm_before: float, norm_after: float) -> float:
    """Return the factor ‖δ‖₁/‖δ⊙m‖₁ that restores an L1 norm; 1 when either norm is below 1e-7."""
    return 1.0 if min(norm_before, norm_after) < 1e-7 else norm_before / norm_after
