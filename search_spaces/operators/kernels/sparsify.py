"""How many elements of a task vector survive, with which chance, and what their norm was: the numbers of a sparsifier.

The kernels do the sparsifying (`elementwise.survivors`); here is what they are told.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Dropping elements of a tensor this small (a norm, a bias) adds more noise than it removes interference: keep it whole.
FEWEST_TO_DROP_FROM = 1024

# Where keeping depends on rank, no element's chance is below this: survivors are divided by it.
LEAST_CHANCE = 1e-3

# Rows are summed by one thread each.
SUMMED_IN_A_ROW = 4096
_SUMMED_AT_ONCE = 256 * SUMMED_IN_A_ROW

# Search spaces quantise densities to multiples of 1/256, so that one pass over a tensor serves every candidate.
DENSITY_STEPS = 256


def n_kept(n: int, density: float) -> int:
    """Return how many of n elements a density in (0, 1] keeps: ⌊density·n + 1e-9⌋, but at least one of any.

    The 1e-9 forgives products such as 0.29·100 = 28.999…; the minimum keeps scalars and tiny norms from vanishing.
    """
    return min(n, max(1, math.floor(density * n + 1e-9)))


def band(n: int, density: float, gamma: float) -> tuple[int, int]:
    """Return how many of n elements Breadcrumbs keeps, `n_kept`, and how many larger ones it drops, ⌊gamma·n⌋.

    Where both do not fit, fewer of the largest are dropped: the density is kept. So tensors of fewer than 1/gamma
    elements, and any tensor at gamma 0, are trimmed by magnitude alone (mergekit sets such tensors to zero), and
    density 1 keeps everything.

    Reference: Davari & Belilovsky 2023, "Model Breadcrumbs" (arXiv 2312.06795), section 3.
    """
    k = n_kept(n, density)
    return k, min(math.floor(gamma * n + 1e-9), n - k)


def density_steps(n: int) -> list[int]:
    """Return how many of n elements the densities 1/256, 2/256, ... 1 keep."""
    return [n_kept(n, i / DENSITY_STEPS) for i in range(1, DENSITY_STEPS + 1)]


def band_steps(n: int, gamma: float) -> list[int]:
    """Return the ends of `band` at every density, for one gamma and for all that are multiples of 1/256."""
    steps = density_steps(n)
    bands = [band(n, i / DENSITY_STEPS, gamma) for i in range(1, DENSITY_STEPS + 1)]
    # Two shares are rounded down one by one: their sum may be one less than that of a density.
    return [*steps, *(k - 1 for k in steps), *(top for _, top in bands), *(top + k for k, top in bands)]


def chance_line(width: int, density: float, epsilon: float) -> tuple[float, float]:
    """Return slope and intercept of MAGPRUNE's probability of being kept, over the rank of |δ| in its row, from 0.

    It runs from density - ε for the smallest to density + ε for the largest, so that its mean over a row is the
    density. ε is reduced where the band would leave [0.001, 0.999].

    Reference: Deep et al. 2024, "DELLA-Merging" (arXiv 2406.11617), equation 2; ε here is half of the paper's window,
    as in mergekit.
    """
    half = min(epsilon, density - LEAST_CHANCE, 1.0 - density - LEAST_CHANCE)
    return (0.0, density) if width < 2 or half <= 0.0 else (2.0 * half / (width - 1), density - half)


def l1_gain(norm_before: float, norm_after: float) -> float:
    """Return the factor ‖δ‖₁/‖δ⊙m‖₁ that restores an L1 norm; 1 when either norm is below 1e-7."""
    return 1.0 if min(norm_before, norm_after) < 1e-7 else norm_before / norm_after


def row_sums(values: Tensor) -> list[float]:
    """Return float64 sums of `SUMMED_IN_A_ROW` elements each; their `math.fsum` does not depend on the threads.

    A part of a tensor that begins at a multiple of `SUMMED_IN_A_ROW` has the rows that the whole tensor has there.
    """
    flat, rows = values.reshape(-1), []
    for part in torch.split(flat, _SUMMED_AT_ONCE):
        whole = part.numel() - part.numel() % SUMMED_IN_A_ROW
        for wide in (part[:whole].double().view(-1, SUMMED_IN_A_ROW), part[whole:].double().view(1, -1)):
            rows.append(wide.sum(dim=1))
    return torch.cat(rows).cpu().tolist() if rows else []
