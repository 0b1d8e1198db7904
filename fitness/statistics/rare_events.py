"""Limits of sums to which few events may have contributed, unseen ones among them.

Two models that are much alike differ on few items, so that how often they do is a count of rare events, which a normal
distribution describes badly: no event among n items still allows a rate of some 3.4 / n.
"""

from __future__ import annotations

from collections.abc import Callable

from fitness.scores import ObjectiveEstimate
from fitness.typing import Floats

# Exact limits count no part of a further event below and a whole one above, and err less than they may; mid-P limits
# count half of one, and err more where no event is seen (5 % for 2.5). A tenth keeps that error at 3.3 %.
_BELOW, _ABOVE = 0.1, 0.9


def limits_of_sum(sizes: Floats, largest: float, confidence: float) -> tuple[float, float]:
    """Return the limits of what events add up to in expectation, each side erring half of 1 - confidence.

    A sum of y of events with squared sizes of v together is taken for v / y times a Poisson count, whose limits are
    gamma quantiles (Fay and Feuer, Statistics in Medicine 16, 1997, 791-801, equations 4 and 5; between exact and mid-P
    as Fay and Kim, Biometrical Journal 59, 2017, 549-565).

    >>> import numpy as np
    >>> limits_of_sum(np.zeros(100), 0.01, 0.95)[1]  # none of 100 items
    0.034...

    Args:
        sizes: (n,) what each event adds, at least 0; zeros are no events.
        largest: size of an event that was not seen, above 0.
        confidence: in (0, 1).
    """
    y, v = float(sizes.sum()), float((sizes**2).sum())
    below = _quantile((1 - confidence) / 2, y + _BELOW * largest, v + _BELOW * largest**2) if y else 0.0
    above = _quantile((1 + confidence) / 2, y + _ABOVE * largest, v + _ABOVE * largest**2)
    return min(below, y), max(above, y)


def hidden_event(shares: Floats, sizes: Floats, confidence: float) -> float:
    """Return the size of events, alike in all tasks, that could hide as much as unseen ones of unequal tasks can.

    A task of few items hides more than one of many: with shares w and sizes n, events of which none was seen have rates
    r with product (1 - r)^n of half of 1 - confidence or more, and add up to sum w r at most. Tasks of one size have
    events of 1 / (all items).

    >>> import numpy as np
    >>> [round(1 / hidden_event(np.array([0.5, 0.5]), np.array(sizes), 0.95)) for sizes in ([50, 50], [5, 95])]
    [100, 12]

    Args:
        shares: (n_tasks,) above 0.
        sizes: (n_tasks,) independent items of each, above 0, not necessarily whole.
        confidence: in (0, 1).
    """
    import numpy as np

    total, chance = shares.sum(), np.log((1 - confidence) / 2)
    w, n = shares / total, sizes
    order = np.argsort(n / w)
    w, n = w[order], n[order]
    level = (chance - np.cumsum(n * np.log(n / w))) / np.cumsum(n)  # logarithm of Lagrange's multiplier by task number
    k = int(np.flatnonzero(level + np.log(n / w) < 0)[-1])
    hidden = w[: k + 1] @ (1 - np.exp(level[k]) * (n / w)[: k + 1])
    return float(total * np.log1p(-hidden) / chance)


def _quantile(probability: float, mean: float, variance: float) -> float:
    from scipy.special import gammaincinv

    quantile: Callable[[float, float], float] = gammaincinv
    return float(quantile(mean**2 / variance, probability) * variance / mean)


def limits_of_objective(estimate: ObjectiveEstimate, confidence: float = 0.95) -> tuple[float, float]:
    """Return the limits of an objective by its value and standard error alone.

    A value in [0, 1] is taken for a rate that was seen on as many independent items as have its standard error (with
    one more right and one wrong, as `TaskLayout.moments` counts them), so that no limit leads out of the range. Other
    values have normal limits.
    """
    from scipy.special import ndtri

    value, variance, n = estimate.value, estimate.stderr**2, estimate.n_items
    rate = (value * n + 1) / (n + 2)
    largest = rate * (1 - rate) * (n + 2) / (n + 1)  # variance of an item that is right or wrong
    if 0.0 <= value <= 1.0 and 0.0 < variance <= largest:
        return limits_of_rate(value, largest / variance, confidence)
    margin = float(ndtri((1 + confidence) / 2)) * estimate.stderr
    return value - margin, value + margin


def limits_of_rate(rate: float, n: float, confidence: float) -> tuple[float, float]:
    """Return the limits of a rate that was seen on n independent items, n not necessarily whole.

    They are beta quantiles between exact (Clopper and Pearson, Biometrika 26, 1934, 404-413) and mid-P limits.

    >>> [round(limit, 3) for limit in limits_of_rate(1.0, 100, 0.95)]
    [0.966, 1.0]
    """
    from scipy.special import betaincinv

    right, wrong = rate * n, (1 - rate) * n
    inverse: Callable[[float, float, float], float] = betaincinv
    below = inverse(right + _BELOW, wrong + _ABOVE, (1 - confidence) / 2) if right else 0.0
    above = inverse(right + _ABOVE, wrong + _BELOW, (1 + confidence) / 2) if wrong else 1.0
    return min(float(below), rate), max(float(above), rate)
