"""Sparsifying one task vector: keep the largest elements, a random share of them, or all but the outliers."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from search_spaces.operators.operator import Trim
from search_spaces.operators.ranks import doubled_ranks, row_width
from search_spaces.operators.threshold import trim_to

# Dropping elements of a tensor this small (a norm, a bias) adds more noise than it removes interference: keep it whole.
FEWEST_TO_DROP_FROM = 1024

# Where keeping depends on rank, no element's chance is below this: survivors are divided by it.
LEAST_CHANCE = 1e-3

# Rows are summed by one thread each.
SUMMED_IN_A_ROW = 4096
_SUMMED_AT_ONCE = 256 * SUMMED_IN_A_ROW


def n_kept(n: int, density: float) -> int:
    """Return how many of n elements a density in (0, 1] keeps: ⌊density·n + 1e-9⌋, but at least one of any.

    The 1e-9 forgives products such as 0.29·100 = 28.999…; the minimum keeps scalars and tiny norms from vanishing.
    """
    return min(n, max(1, math.floor(density * n + 1e-9)))


def trim(delta: Tensor, density: float) -> Trim:
    """Return the threshold that keeps exactly `n_kept` of the largest magnitudes of a float32 tensor.

    Order of preference: |x| descending, then flat index ascending.
    """
    return trim_to(delta.abs().flatten(), n_kept(delta.numel(), density))


def kept_mask(magnitudes: Tensor, kept: Trim) -> Tensor:
    """Return which elements a `Trim` keeps: a bool tensor of the magnitudes' shape."""
    mask = magnitudes > kept.magnitude
    reach = kept.last + 1
    mask.view(-1)[:reach] |= magnitudes.view(-1)[:reach] == kept.magnitude
    return mask


def keep_largest(delta: Tensor, kept: Trim) -> Tensor:
    """Set to zero, in place, what a `Trim` does not keep; return the tensor."""
    if kept.magnitude == 0.0:
        return delta  # what is not kept is zero already
    return delta.mul_(kept_mask(delta.abs(), kept))


def drop_outliers(delta: Tensor, density: float, gamma: float, *, by_row: bool = False) -> Tensor:
    """Set to zero, in place, the ⌊gamma·n⌋ largest magnitudes and all but the next `n_kept`; return the tensor.

    n counts the tensor's elements, or those of one row (along the last dimension), each row apart.
    Where both do not fit, fewer of the largest are dropped: the density is kept. So tensors of fewer than 1/gamma
    elements, and any tensor at gamma 0, are trimmed by magnitude alone (mergekit sets such tensors to zero), and
    density 1 keeps everything.

    Reference: Davari & Belilovsky 2023, "Model Breadcrumbs" (arXiv 2312.06795), section 3.
    """
    n = delta.shape[-1] if by_row and delta.dim() else delta.numel()
    k, top = band(n, density, gamma)
    magnitudes = delta.abs().flatten()
    if by_row:
        order = magnitudes.view(-1, n).sort(dim=1, descending=True, stable=True).indices
        mask = torch.zeros_like(order, dtype=torch.bool).scatter_(1, order[:, top : top + k], True)
    else:
        mask = kept_mask(magnitudes, trim_to(magnitudes, top + k))
        if top:
            mask &= ~kept_mask(magnitudes, trim_to(magnitudes, top))
    return delta.mul_(mask.view(delta.shape))


def band(n: int, density: float, gamma: float) -> tuple[int, int]:
    """Return how many of n elements `drop_outliers` keeps, and how many larger ones it drops."""
    k = n_kept(n, density)
    return k, min(math.floor(gamma * n + 1e-9), n - k)


def drop_randomly(delta: Tensor, density: float, uniform: Tensor) -> Tensor:
    """Set to zero, in place, each element with probability 1 - density; return the tensor.

    One draw gives nested masks: what a density keeps, every larger density keeps too.

    Args:
        delta: float32, any shape.
        density: in (0, 1].
        uniform: random numbers in [0, 1), the same shape.

    Reference: Yu et al. 2024, "Language Models are Super Mario" (DARE, arXiv 2311.03099), equation 2.
    """
    return delta if density == 1.0 else delta.mul_(uniform < density)


def keep_probabilities(delta: Tensor, density: float, epsilon: float) -> Tensor:
    """Return MAGPRUNE's probability of being kept: density - ε for a row's smallest magnitude, + ε for its largest.

    Rows are `delta[i]`; a vector is one row. Ranks are those of |δ| ascending, and equal magnitudes share the mean of
    their ranks, so that no index is preferred. ε is reduced where the band would leave [0.001, 0.999]; the mean over a
    row is the density.

    Reference: Deep et al. 2024, "DELLA-Merging" (arXiv 2406.11617), equation 2; ε here is half of the paper's window,
    as in mergekit.
    """
    slope, chance_of_smallest = chance_line(row_width(delta.shape), density, epsilon)
    rank = doubled_ranks(delta).to(torch.float32).mul_(0.5)
    return rank.mul_(slope).add_(chance_of_smallest)


def chance_line(width: int, density: float, epsilon: float) -> tuple[float, float]:
    """Return slope and intercept of the probability of being kept over the rank; see `keep_probabilities`."""
    half = min(epsilon, density - LEAST_CHANCE, 1.0 - density - LEAST_CHANCE)
    return (0.0, density) if width < 2 or half <= 0.0 else (2.0 * half / (width - 1), density - half)


def l1_norm(delta: Tensor) -> float:
    """Return Σ|x|, summed as in `ordered_sum`."""
    return ordered_sum(delta, torch.abs)


def l1_gain(norm_before: float, norm_after: float) -> float:
    """Return the factor ‖δ‖₁/‖δ⊙m‖₁ that restores an L1 norm; 1 when either norm is below 1e-7."""
    return 1.0 if min(norm_before, norm_after) < 1e-7 else norm_before / norm_after


def ordered_sum(values: Tensor, of: Callable[[Tensor], Tensor]) -> float:
    """Return Σ of(x) in float64, in an order that depends on the number of elements alone, not on the threads.

    Args:
        values: float32, any shape.
        of: maps a float64 tensor, element by element.
    """
    return math.fsum(row_sums(values, of))


def row_sums(values: Tensor, of: Callable[[Tensor], Tensor] | None = None) -> list[float]:
    """Return the sums of `ordered_sum` over `SUMMED_IN_A_ROW` elements each, of which it is the exact sum."""
    flat, rows = values.reshape(-1), []
    for part in torch.split(flat, _SUMMED_AT_ONCE):
        whole = part.numel() - part.numel() % SUMMED_IN_A_ROW
        for wide in (part[:whole].double().view(-1, SUMMED_IN_A_ROW), part[whole:].double().view(1, -1)):
            rows.append((wide if of is None else of(wide)).sum(dim=1))
    return torch.cat(rows).tolist() if rows else []
