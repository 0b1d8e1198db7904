"""Means over seeds with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A mean and the half-width of its 95 % interval by Student's t; NaN of a single value."""

    mean: float
    half_width: float


def interval(values: Sequence[float]) -> Interval:
    """Return the interval of the mean of at least one value."""
    from scipy.stats import t as student

    n = len(values)
    if n < 2:
        return Interval(values[0], math.nan)
    return Interval(float(np.mean(values)), float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5))


def in_words(values: Sequence[float], sign: str = "") -> str:
    """Return the mean and half-width of values, times 100; nothing of no values."""
    if not values:
        return ""
    mean, half_width = interval([100 * value for value in values])
    return f"{mean:{sign}.1f}" + ("" if math.isnan(half_width) else f" ± {half_width:.1f}")
