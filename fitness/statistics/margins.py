"""How far the interval of a paired difference goes to either side."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fitness.statistics.rare_events import limits_of_sum
from fitness.statistics.shares import Shares
from fitness.typing import Floats


def rare_margins(
    shares: Shares, differences: Floats, chosen: NDArray[np.bool_], confidence: float
) -> tuple[float, float]:
    """Return how far the interval goes below and above the difference on the chosen items; 0 where there are none."""
    if not (shares.of_items * chosen).any():
        return 0.0, 0.0
    added = shares.per_group(shares.of_items * differences * chosen)
    gains, losses = np.maximum(added, 0.0), np.maximum(-added, 0.0)
    one_item, one_group = shares.largest(chosen)
    # An event that was not seen is like those that were, and one of a whole group.
    unseen = max(one_item, float((added @ added + one_group**2) / (np.abs(added).sum() + one_group)))
    (fewest_gains, most_gains) = limits_of_sum(gains, unseen, confidence)
    (fewest_losses, most_losses) = limits_of_sum(losses, unseen, confidence)
    # Counts of events that are the rule rather than the exception vary less than Poisson counts.
    spread = float((shares.per_group(shares.residuals(differences) * chosen) ** 2).sum())
    regular = min(1.0, math.sqrt((spread + unseen**2) / (float(added @ added) + unseen**2)))
    fewer_gains, fewer_losses = gains.sum() - fewest_gains, losses.sum() - fewest_losses
    if added.sum() > 0:
        fewer_gains *= regular
    else:
        fewer_losses *= regular
    below = math.hypot(fewer_gains, most_losses - losses.sum())
    return below, math.hypot(most_gains - gains.sum(), fewer_losses)


def student_margin(shares: Shares, differences: Floats, chosen: NDArray[np.bool_], confidence: float) -> float:
    """Return half the width of Welch's interval of the difference on the chosen items."""
    from scipy.stats import t as student

    residuals = shares.residuals(differences) * chosen
    variance = float((shares.per_group(residuals) ** 2).sum())
    if variance == 0.0:
        return 0.0
    n_tasks = len(shares.n_items)
    pairs = shares.task * len(shares.group) + shares.group  # a task's items of one group
    unique, place = np.unique(pairs, return_inverse=True)
    of_pairs = np.bincount(place, weights=residuals) ** 2
    parts = np.bincount(unique // len(shares.group), weights=of_pairs, minlength=n_tasks + 1)[:n_tasks]
    freedom = variance**2 / float((parts**2 / np.maximum(shares.n_groups - 1, 1)).sum())
    return float(student.ppf((1 + confidence) / 2, freedom)) * math.sqrt(variance)
