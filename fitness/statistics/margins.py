"""How far the interval of a paired difference goes to either side."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fitness.statistics.item_weights import ItemWeights
from fitness.statistics.rare_events import hidden_event, limits_of_sum
from fitness.typing import Floats


def rare_margins(
    weights: ItemWeights, differences: Floats, chosen: NDArray[np.bool_], confidence: float
) -> tuple[float, float]:
    """Return how far the interval goes below and above the difference on the chosen items; 0 where there are none."""
    if not (weights.of_items * chosen).any():
        return 0.0, 0.0
    added = weights.per_group(weights.of_items * differences * chosen)
    gains, losses = np.maximum(added, 0.0), np.maximum(-added, 0.0)
    one_item, one_group = (
        max(size, hidden_event(*of_tasks, confidence))
        for size, of_tasks in zip(weights.largest(chosen), weights.sizes(chosen), strict=True)
    )
    # An event that was not seen is like those that were, and one of a whole group.
    unseen = max(one_item, float((added @ added + one_group**2) / (np.abs(added).sum() + one_group)))
    (fewest_gains, most_gains) = limits_of_sum(gains, unseen, confidence)
    (fewest_losses, most_losses) = limits_of_sum(losses, unseen, confidence)
    # Counts of events that are the rule rather than the exception vary less than Poisson counts.
    spread = float((weights.per_group(weights.residuals(differences) * chosen) ** 2).sum())
    regular = min(1.0, math.sqrt((spread + unseen**2) / (float(added @ added) + unseen**2)))
    fewer_gains, more_gains = gains.sum() - fewest_gains, most_gains - gains.sum()
    fewer_losses, more_losses = losses.sum() - fewest_losses, most_losses - losses.sum()
    more, rounding = gains.sum() - losses.sum(), 1e-9 * np.abs(added).sum()  # of equal sums neither is the rule
    if more > rounding:
        fewer_gains, more_gains = regular * fewer_gains, regular * more_gains
    elif more < -rounding:
        fewer_losses, more_losses = regular * fewer_losses, regular * more_losses
    return math.hypot(fewer_gains, more_losses), math.hypot(more_gains, fewer_losses)


def student_margin(weights: ItemWeights, differences: Floats, chosen: NDArray[np.bool_], confidence: float) -> float:
    """Return half the width of Welch's interval of the difference on the chosen items."""
    from scipy.stats import t as student

    residuals = weights.residuals(differences) * chosen
    variance = float((weights.per_group(residuals) ** 2).sum())
    if variance == 0.0:
        return 0.0
    n_tasks = len(weights.n_items)
    pairs = weights.task * len(weights.group) + weights.group  # a task's items of one group
    unique, place = np.unique(pairs, return_inverse=True)
    of_pairs = np.bincount(place, weights=residuals) ** 2
    parts = np.bincount(unique // len(weights.group), weights=of_pairs, minlength=n_tasks + 1)[:n_tasks]
    freedom = variance**2 / float((parts**2 / np.maximum(weights.n_groups - 1, 1)).sum())
    return float(student.ppf((1 + confidence) / 2, freedom)) * math.sqrt(variance)
