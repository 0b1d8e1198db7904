"""How alike two measures rank models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitness.errors import FitnessError

_FEWEST = 4  # the interval of a rank correlation divides by n - 3


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of two measures."""

    value: float  # in [-1, 1]; 1 where both rank the models the same way
    low: float  # lower end of the confidence interval
    high: float  # upper end of it
    n: int  # how many models it rests on, at least 4


def rank_correlation(a: Sequence[float], b: Sequence[float], *, confidence: float = 0.95) -> RankCorrelation | None:
    """Return Spearman's rank correlation, with ties at their mean rank, and an interval.

    The interval is Fisher's, with atanh(r) +- z sqrt((1 + r^2 / 2) / (n - 3)) (Bonett and Wright, Psychometrika 65,
    2000, 23-28). Around the r of 1 its centre would lie at infinity; there it is that of half a swap of neighbours,
    1 - 6 / (n (n^2 - 1)).

    >>> round(rank_correlation([1, 2, 3, 4], [1, 3, 2, 4]).value, 3)
    0.8

    Args:
        a: one number per model.
        b: another one per model, in the same order.
        confidence: of the interval, in (0, 1).

    Returns:
        None where there is none: of fewer than 4 models, or where a measure is the same for all of them.

    Raises:
        FitnessError: the lengths differ, or a number is not finite.
    """
    from scipy.stats import norm, rankdata

    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise FitnessError(f"rank correlation: expected two numbers per model, found {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise FitnessError("rank correlation: expected finite numbers, found others")
    n = len(x)
    if n < _FEWEST or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return None
    value = float(np.clip(np.corrcoef(rankdata(x), rankdata(y))[0, 1], -1.0, 1.0))
    largest = 1.0 - 6.0 / (n * (n**2 - 1))
    centre = math.atanh(min(largest, max(-largest, value)))
    margin = float(norm.ppf(0.5 + confidence / 2)) * math.sqrt((1.0 + value**2 / 2) / (n - 3))
    low, high = math.tanh(centre - margin), math.tanh(centre + margin)
    return RankCorrelation(value, min(low, value), max(high, value), n)
