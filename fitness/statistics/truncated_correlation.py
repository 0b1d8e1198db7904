"""How alike two measures rank models of which only those that the first one liked got the second.

What decides who gets the next measure is seen for everybody whom it decides about. So each measure, given those before,
is the same among those who have it and those who lack it, as far as it is linear in them: the likelihood of normal data
is a product of regressions then (Anderson, JASA 52, 1957, 200-203). With one further measure it is Thorndike's case 2
(Personnel Selection, 1949, ch. 6).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fitness.errors import FitnessError
from fitness.statistics.rank_correlation import RankCorrelation

Floats = NDArray[np.float64]
_RESAMPLES = 299
_SPARE = 3  # models that a regression needs beyond its coefficients


def correlation_before_selection(
    first: Sequence[float], further: Sequence[Sequence[float]], *, confidence: float = 0.95
) -> RankCorrelation | None:
    """Return Spearman's rank correlation of the first measure with the last one, as if every model had all of them.

    The first measure counts by normal quantiles of its ranks; 6/π arcsin(r/2) makes Spearman's of Pearson's r (Pearson
    1907). The interval is symmetric on Fisher's scale, its spread that of a bootstrap of models (always the same one).

    >>> agreement = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    >>> score = [math.nan] * 4 + [0.4, 0.7, 0.5, 0.8, 0.6, 0.9]
    >>> found = correlation_before_selection(agreement, [score])
    >>> found.n, round(found.value, 1)
    (6, 0.8)

    Args:
        first: (n,), one number per model.
        further: (n,) each, at least one, in the order in which models got them; NaN for a model that has none, which
            has none of those after it either.
        confidence: of the interval, in (0, 1).

    Returns:
        None where fewer than 5 models (6 with several measures) have the last one, or where one is the same for all.
        Its `n` is how many have the last one.

    Raises:
        FitnessError: lengths differ, the first measure is not finite, or a model lacks one and has one after it.
    """
    from scipy.stats import norm, rankdata, t

    x, rows = np.asarray(first, dtype=np.float64), np.asarray(further, dtype=np.float64)
    if rows.ndim != 2 or not len(rows) or rows.shape[1:] != x.shape or not np.isfinite(x).all():
        raise FitnessError(f"correlation: expected finite numbers and (k, {len(x)}) more, found {rows.shape}")
    has = ~np.isnan(rows)
    if (has[1:] & ~has[:-1]).any():
        raise FitnessError("correlation: expected a measure only where there is the one before, found it elsewhere")
    n = int(has[-1].sum())
    if n < min(len(rows), 2) + 1 + _SPARE or any(np.ptp(y) == 0.0 for y in (x, *map(_known, rows))):
        return None
    z = norm.ppf((rankdata(x) - 0.5) / len(x))
    resampled = np.random.default_rng(0).multinomial(len(x), np.full(len(x), 1 / len(x)), size=_RESAMPLES)
    largest = 1.0 - 6.0 / (n * (n**2 - 1))  # as in `rank_correlation`
    fisher = np.arctanh(np.clip(_composed(z, rows, np.vstack([np.ones(len(x)), resampled])), -largest, largest))
    spread = float(fisher[1:].std(ddof=1)) * math.sqrt(n / (n - 1 - min(len(rows), 2)))  # residuals are too small
    margin = float(t.ppf(0.5 + confidence / 2, n - 3)) * spread
    low, value, high = (6 / math.pi * math.asin(math.tanh(fisher[0] + by) / 2) for by in (-margin, 0.0, margin))
    return RankCorrelation(value, low, high, n)


def _known(row: Floats) -> Floats:
    return np.asarray(row[~np.isnan(row)])


def _composed(z: Floats, rows: Floats, weights: Floats) -> Floats:
    """Return Pearson's correlation of z with the last row for each of (k, n) weights of the models; (k,)."""
    shares = weights / weights.sum(axis=1, keepdims=True)
    spread = shares @ z**2 - (shares @ z) ** 2
    together, own = np.zeros_like(spread), np.zeros_like(spread)  # covariance with z, and variance, of a row
    for k, row in enumerate(rows):
        has = ~np.isnan(row)
        terms = np.vstack([np.ones(len(z)), z, rows[max(0, k - 1) : k]])
        slopes, left = _regression(terms[:, has], row[has], weights[:, has])
        a, b = slopes[:, 1], slopes[:, 2] if k else np.zeros_like(spread)
        own = a**2 * spread + b**2 * own + 2 * a * b * together + left
        together = a * spread + b * together
    return np.asarray(together / np.sqrt(np.maximum(spread * own, 1e-300)))


def _regression(terms: Floats, y: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return (k, p) coefficients of weighted least squares on (p, m) terms, and (k,) variances around them."""
    gram = np.einsum("km,pm,qm->kpq", weights, terms, terms, optimize=True)
    right = np.einsum("km,pm,m->kp", weights, terms, y, optimize=True)
    slopes = np.einsum("kpq,kq->kp", np.linalg.pinv(gram, hermitian=True), right)
    left = np.einsum("km,km->k", weights, (y - slopes @ terms) ** 2)
    return slopes, left / np.maximum(weights.sum(axis=1) - len(terms), 1.0)
