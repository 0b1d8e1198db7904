"""What a candidate that was stopped would reach on all items: its rival's estimate and their paired difference.

A mean over the few items that it answered would not be comparable: they may be easy or hard ones. The difference to a
rival on the same items is, whatever the items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fitness.estimators import Objective, item_shares
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate
from fitness.typing import Floats


def paired_estimate(
    scores: ItemScores,
    rival: ItemScores,
    whole: Estimate,
    *,
    objectives: Sequence[Objective],
    task_of: Mapping[str, str],
) -> Estimate:
    """Return the rival's estimate plus the mean paired difference in each objective.

    Items count as in a full score, scaled to sum to 1 over the answered ones; an objective without any has the rival's
    value. The standard error is that of a sum of two independent parts, sqrt(rival's^2 + difference's^2), which is on
    the safe side. Accuracies stay in [0, 1].

    Args:
        scores: of the first of the rival's items, in their order.
        rival: its scores of all of its items.
        whole: the rival's estimate from them.
        objectives: in the campaign's order.
        task_of: item id -> task name.
    """
    n = len(scores.item_ids)
    shares = item_shares(rival.item_ids, objectives, task_of)[:, :n]
    differences = scores.values - rival.values[:n]
    bounded = all(v.min(initial=0.0) >= 0.0 and v.max(initial=1.0) <= 1.0 for v in (scores.values, rival.values))
    estimates = []
    for objective, row in zip(whole.objectives, shares, strict=True):
        mean, variance = _mean(row, differences)
        value = objective.value + mean
        value = min(1.0, max(0.0, value)) if bounded else value
        stderr = float(np.hypot(objective.stderr, np.sqrt(variance)))
        estimates.append(ObjectiveEstimate(objective.name, value, stderr, int((row > 0.0).sum()), "estimated"))
    return Estimate(whole.split, tuple(estimates))


def _mean(shares: Floats, values: Floats) -> tuple[float, float]:
    """Return the mean weighted by shares, and its variance; 0 and 1, the largest there is, of no values."""
    answered = shares > 0.0
    n = int(answered.sum())
    if n == 0:
        return 0.0, 1.0
    weights, values = shares[answered] / shares[answered].sum(), values[answered]
    mean = float(weights @ values)
    return mean, 1.0 if n == 1 else float((weights**2 @ (values - mean) ** 2) * n / (n - 1))
