"""Possible truths, drawn from the pooled response model, as functions of genomes with a slope.

All genomes of all calls are seen by the same draws: what noisy acquisition functions otherwise get from joint samples
of a candidate, of what was scored and of what is pending, they get here from each for itself. It needs no covariance,
and costs the same however many are pending.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fitness.estimation.pooled import Paths

_TINY = 1e-12  # keeps the slope of a distance finite at 0


class Draws:
    """Draws of the objectives.

    Args:
        parts: draws of each set of tasks; the objectives are sums over them.
        features: genomes -> the points that the response model was fitted to, differentiable.
    """

    def __init__(self, parts: Sequence[Paths], features: Callable[[Tensor], Tensor]) -> None:
        self._features = features
        self._parts = [{name: torch.from_numpy(value) for name, value in vars(part).items()} for part in parts]

    def values(self, genomes: Tensor) -> Tensor:
        """Return (draws, n, n_objectives) values at (n, dim) genomes."""
        points = self._features(genomes)
        return torch.stack([_along(part, points) for part in self._parts]).sum(dim=0)


def _along(part: dict[str, Tensor], points: Tensor) -> Tensor:
    """Return (draws, m, n_objectives) values of (m, d) points."""
    waves = torch.cos(points @ part["frequencies"] + part["phases"])
    one, other = points / part["lengths"], part["points"] / part["lengths"]
    squared = (one * one).sum(1)[:, None] + (other * other).sum(1) - 2.0 * one @ other.T
    far = torch.sqrt(5.0 * squared.clamp_min(0.0) + _TINY)
    near = (1.0 + far + far * far / 3.0) * torch.exp(-far)
    ability = part["level"][:, None] + part["waves"] @ waves.T + part["pulls"] @ near.T
    return _on_curves(part, ability[..., None] + part["shifts"][:, None, :])


def _on_curves(part: dict[str, Tensor], ability: Tensor) -> Tensor:
    """Return the curves' values at (draws, m, n_objectives) abilities, linear between the places of the grid."""
    grid, curves = part["grid"], part["curves"]
    place = (ability - grid[0]) / (grid[1] - grid[0])
    left = place.detach().floor().clamp(0, len(grid) - 2).long()
    columns = torch.arange(len(curves)).expand_as(left)
    low, high = curves[columns, left], curves[columns, left + 1]
    return low + (high - low) * (place - left)
