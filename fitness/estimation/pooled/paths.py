"""Draws from the posterior that are functions: what each of some possible truths reaches at any point.

An ability is a draw from the prior, made of random waves, moved so that it fits a draw of the abilities that answered
(Wilson et al., "Efficiently sampling functions from Gaussian process posteriors", ICML 2020, eq. 13). An objective is
a curve of the ability: the mean over the items, whose easiness is shifted with the draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitness.estimation.pooled.group import FittedGroup
from fitness.estimation.pooled.settings import CONSTANT
from fitness.typing import Floats

_WAVES = 512
_GRID = 129  # places of a curve
_DEGREES = 5.0  # a Matern 5/2's spectrum is Student's t with so many degrees of freedom
_BEYOND = 4.0  # a curve goes on for so many standard deviations beyond the abilities that answered


@dataclass(frozen=True, eq=False)
class Paths:
    """S draws of one set of tasks: ability_s(x) = level + waves . cos(x frequencies + phases) + pulls . k(x).

    k(x) is Matern 5/2 of the distances between x and the points in units of the lengths. Objective o of draw s is
    `curves[o]`, linear between the places of `grid`, at ability_s(x) + shifts[s, o]; it goes on straight beyond them.
    """

    points: Floats  # (n, d)
    lengths: Floats  # (d,)
    frequencies: Floats  # (d, waves)
    phases: Floats  # (waves,)
    waves: Floats  # (S, waves)
    pulls: Floats  # (S, n)
    level: Floats  # (S,)
    grid: Floats  # (places,) ascending, equally far apart
    curves: Floats  # (n_objectives, places)
    shifts: Floats  # (S, n_objectives)


def draw_paths(group: FittedGroup, weights: Floats, n_draws: int, rng: np.random.Generator) -> Paths:
    """Return draws of a group, for (n_objectives, items) weights of its items in the objectives."""
    settings, mode = group.settings, group.mode
    n, dim = group.points.shape
    placed = np.isfinite(group.points).all(axis=1)
    stretch = np.sqrt(rng.chisquare(_DEGREES, _WAVES) / _DEGREES)
    frequencies = rng.standard_normal((dim, _WAVES)) / stretch / settings.lengths[:, None]
    phases = rng.uniform(0.0, 2.0 * np.pi, _WAVES)
    waves = rng.standard_normal((n_draws, _WAVES)) * np.sqrt(2.0 * settings.signal / _WAVES)
    level = np.sqrt(CONSTANT) * rng.standard_normal(n_draws)

    prior = np.sqrt(settings.signal) * rng.standard_normal((n_draws, n))
    prior[:, placed] = waves @ np.cos(group.points[placed] @ frequencies + phases).T
    prior += level[:, None] + np.sqrt(settings.own) * rng.standard_normal((n_draws, n))
    apart = rng.standard_normal((n_draws, n)) @ np.linalg.cholesky(group.covariance).T
    pulls = (mode.abilities + apart - prior) @ group.prior_precision
    easier = rng.standard_normal((n_draws, group.answers.n_items)) / np.sqrt(group.told.item_precision)
    easier -= apart @ group.shares

    grid = _grid(group)
    curves, shifts = [], []
    for row in weights:
        used = row > 0.0
        eta = grid[:, None] + mode.easiness[used]
        means, slopes = group.link.expected(eta, np.broadcast_to(1.0 / group.told.item_precision[used], eta.shape))
        curves.append(means @ row[used])
        sloped = slopes[len(grid) // 2] * row[used]
        shifts.append(easier[:, used] @ sloped / sloped.sum() if used.any() else np.zeros(n_draws))
    return Paths(
        group.points[placed],
        settings.lengths,
        frequencies,
        phases,
        waves,
        pulls[:, placed] * settings.signal,
        level + CONSTANT * pulls.sum(axis=1),
        grid,
        np.array(curves),
        np.array(shifts).T,
    )


def _grid(group: FittedGroup) -> Floats:
    """Return abilities around those that answered."""
    centre = float(group.mode.abilities.mean())
    reach = float(np.abs(group.mode.abilities - centre).max()) + _BEYOND * float(np.sqrt(group.settings.signal))
    return np.linspace(centre - reach, centre + reach, _GRID)
