"""What all candidates say of each: estimates that hold for whichever of them is picked.

The highest of many estimates is too high: candidates are picked for their luck as well (the winner's curse). A
posterior mean is not, whoever is picked and however (Dawid, "Selection paradoxes of Bayesian inference", 1994), where
the prior is what the candidates are like. That is read off the candidates themselves (empirical Bayes; Efron and
Morris, JASA 70, 1975). Along each direction of the objectives the truths have a density with one mode and a half normal
on either side, each with its own spread: a search leaves a long tail of early candidates and none of good ones. Mode
and spreads are integrated over, so that few candidates, which say little about one another, are shrunk little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitness.typing import Floats

_N_SPREADS = 18
_N_MODES = 56
_MOST_VALUES = 128  # different values that a density is fitted to
_LEAST_WEIGHT = 1e-5  # hypotheses of less are left out
_LEAST_ERROR = 1e-4  # of the range of estimates; with less there is nothing to shrink
_FEWEST_TO_TURN = 10  # candidates from which on directions are looked for


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of each candidate once all are."""

    values: Floats  # (n, m) expected truths
    variances: Floats  # (n, m), at least 0


def posterior(values: Floats, variances: Floats) -> Posterior:
    """Return what (n, m) estimates of n candidates say of each of their truths.

    Args:
        values: (n, m), finite.
        variances: (n, m) of each estimate's own error, at least 0; errors that all candidates share, such as that of
            the items that they were asked, do not count. Errors of different objectives are independent.
    """
    values, variances = np.asarray(values, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    least = variances.min(axis=0) if len(values) else np.zeros(values.shape[1])
    span = np.ptp(values, axis=0) if len(values) else least
    noisy = np.flatnonzero((span > 0.0) & (np.sqrt(least) > _LEAST_ERROR * span))
    found = Posterior(values.copy(), variances.copy())
    if not noisy.size:
        return found
    unit = np.sqrt(least[noisy])
    ratios = variances[:, noisy] / least[noisy]
    standard = values[:, noisy] / unit
    turn = _directions(standard)
    along, spread = standard @ turn, ratios @ turn**2
    parts = [_along(x, v) for x, v in zip(along.T, spread.T, strict=True)]
    means, left = (np.stack([part[k] for part in parts], axis=1) for k in (0, 1))
    found.values[:, noisy] = means @ turn.T * unit
    found.variances[:, noisy] = left @ (turn**2).T * unit**2
    return found


def _directions(standard: Floats) -> Floats:
    """Return an (m, m) rotation to uncorrelated directions; the objectives themselves where no two are shown to be.

    On a trade-off the sum of two objectives differs little while each differs much, and it is what picks go by.
    """
    n, m = standard.shape
    if m == 1 or n < _FEWEST_TO_TURN:
        return np.eye(m)
    covariance = np.cov(standard, rowvar=False)
    scale = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(scale, scale)
    shown = np.abs(correlation) > 2.0 / np.sqrt(n)
    return np.asarray(np.linalg.eigh(np.where(shown, covariance, 0.0) + np.diag(np.diag(covariance)) * ~shown)[1])


def _along(x: Floats, variances: Floats) -> tuple[Floats, Floats]:
    """Return (n,) posterior means and variances along one direction."""
    points, counts = _binned(x, variances)
    # Both are in units of the surest estimate's own standard error.
    modes, spreads = _modes(x), np.append(0.0, np.geomspace(0.25, max(16.0, np.ptp(x)), _N_SPREADS))
    sides = [_Side.of(points, modes, spreads, sign) for sign in (-1.0, 1.0)]
    low, high = spreads[:, None], spreads[None, :]
    share = np.divide(low, low + high, out=np.full((len(spreads),) * 2, 0.5), where=low + high > 0.0)
    # (modes, low spreads, high spreads, points)
    below = share[None, :, :, None] * sides[0].density[:, :, None, :]
    above = (1.0 - share)[None, :, :, None] * sides[1].density[:, None, :, :]
    both = np.maximum(below + above, 1e-300)
    evidence = (np.log(both) @ counts).ravel()
    weights = np.exp(evidence - evidence.max())
    kept = np.flatnonzero(weights > _LEAST_WEIGHT * weights.max())
    c, a, b = np.unravel_index(kept, both.shape[:3])
    weights = weights[kept] / weights[kept].sum()
    is_below = below[c, a, b] / both[c, a, b]
    lows, highs = (sides[0].mean[c, a], sides[0].square[c, a]), (sides[1].mean[c, b], sides[1].square[c, b])
    mean, square = (is_below * one + (1.0 - is_below) * other for one, other in zip(lows, highs, strict=True))
    means = weights @ mean
    left = np.maximum(weights @ square - means**2, 0.0)
    return _between(points, means, x, variances), _between(points, left, x, variances)


@dataclass(frozen=True, eq=False)
class _Side:
    """A half normal prior on one side of a mode: (modes, spreads, points) arrays."""

    density: Floats  # of the estimate
    mean: Floats  # of the truth, given the estimate
    square: Floats  # of the truth's square

    @classmethod
    def of(cls, points: Floats, modes: Floats, spreads: Floats, sign: float) -> _Side:
        from scipy.special import erfcx, log_ndtr

        x, v = points
        away = sign * (x - modes[:, None, None])
        tau2 = spreads[None, :, None] ** 2
        total = tau2 + v
        centre, width = away * tau2 / total, np.sqrt(tau2 * v / total)
        z = np.divide(centre, width, out=np.zeros_like(centre), where=width > 0.0)
        density = np.exp(-0.5 * away**2 / total + log_ndtr(z) + np.log(2.0)) / np.sqrt(2.0 * np.pi * total)
        hazard = np.sqrt(2.0 / np.pi) / erfcx(-z / np.sqrt(2.0))  # normal density by distribution, for any z
        step = centre + width * hazard  # from the mode
        square = np.maximum(width**2 * (1.0 - z * hazard - hazard**2), 0.0) + step**2
        flat = width + 0.0 * centre == 0.0
        density = np.where(flat, np.exp(-0.5 * away**2 / v) / np.sqrt(2.0 * np.pi * v), density)
        step, square = np.where(flat, 0.0, step), np.where(flat, 0.0, square)
        mode = modes[:, None, None]
        return cls(density, mode + sign * step, mode**2 + 2.0 * sign * mode * step + square)


def _binned(x: Floats, variances: Floats) -> tuple[Floats, Floats]:
    """Return (2, k) different pairs of estimate and variance, ascending, and how many candidates have each."""
    pairs = np.stack([variances, x])
    found, counts = np.unique(pairs.round(9), axis=1, return_counts=True)
    if found.shape[1] > _MOST_VALUES:
        step = max(float(np.ptp(x)) / _MOST_VALUES, 1e-9)
        near = np.stack([np.exp(np.round(np.log(variances) * 4.0) / 4.0), np.round(x / step) * step])
        found, counts = np.unique(near, axis=1, return_counts=True)
    return found[::-1], counts.astype(np.float64)


def _between(points: Floats, known: Floats, x: Floats, variances: Floats) -> Floats:
    """Return (n,) quantities between those at the points of the nearest variance."""
    levels = np.unique(points[1])
    of_each = levels[np.abs(np.log(variances[:, None]) - np.log(levels)).argmin(axis=1)]
    found = np.empty_like(x)
    for level in levels:
        own, at = of_each == level, points[1] == level
        found[own] = np.interp(x[own], points[0, at], known[at])
    return found


def _modes(x: Floats) -> Floats:
    """Return (k,) places where the mode may be."""
    low, high = np.quantile(x, [0.02, 0.98])
    return np.linspace(low - 1.5, high + 1.5, _N_MODES)
