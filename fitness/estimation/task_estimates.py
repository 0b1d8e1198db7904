"""The estimators' formulas, on the arrays of one task: the mean over all N items from answers to n of them.

Notation: S the answered items, U the others, tau = n / N, w anchor weights, p the response
model's prediction. `variance` is that of the error against the mean over all N items; at tau = 1 every estimator is
that mean, and its variance is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from fitness.estimation.ability import Ability, Coordinates
from fitness.typing import Floats

Estimator = Literal["mean", "anchor", "p-irt", "gp-irt", "mp-irt", "gmp-irt"]
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
# Anchors are taken to have a quarter of a random subset's variance (Polo et al., tinyBenchmarks, 2024, appendix).
ANCHOR_GAIN = 4.0
SMALLEST_BIAS2 = 1e-4


@dataclass(frozen=True)
class TaskEstimate:
    """One task's mean over all its items."""

    value: float  # of the scores' range
    variance: float  # of the error of `value`, at least 0


@dataclass(frozen=True, eq=False)
class Answers:
    """What is known of one model on one task."""

    scores: Floats  # (n,) of the answered items, n >= 1
    weights: Floats  # (n,) of the same, above 0, summing to 1
    n_all: int  # how many items the task has

    @property
    def share(self) -> float:
        """Return tau."""
        return len(self.scores) / self.n_all

    @property
    def item_variance(self) -> float:
        """Return the variance of an item's score, as if one item more had been right and one wrong.

        So a few items that are all right do not pass for certainty; scores beyond [0, 1] stand for themselves, and a
        single one of them for a standard deviation of 0.5.
        """
        y, n = self.scores, len(self.scores)
        if y.min() >= 0.0 and y.max() <= 1.0:
            return float(np.concatenate([y, [0.0, 1.0]]).var(ddof=1))
        return float(y.var(ddof=1)) if n > 1 else 0.25


def plain_mean(answers: Answers) -> TaskEstimate:
    """Return (1/n) sum_S y, with (1 - tau) s^2 / n."""
    variance = (1.0 - answers.share) * answers.item_variance / len(answers.scores)
    return TaskEstimate(float(answers.scores.mean()), variance)


def anchor_weighted(answers: Answers) -> TaskEstimate:
    """Return sum_S w y, with (1 - tau) s^2 sum_S w^2."""
    if answers.share == 1.0:
        return plain_mean(answers)
    variance = (1.0 - answers.share) * answers.item_variance * float((answers.weights**2).sum())
    # Rounding must not lead out of the scores' range.
    value = np.clip(answers.weights @ answers.scores, answers.scores.min(), answers.scores.max())
    return TaskEstimate(float(value), variance)


def predicted_rest(answers: Answers, seen_mean: float, rest: Coordinates, ability: Ability) -> TaskEstimate:
    """Return tau * seen_mean + (1 - tau) mean_U p, clamped to [0, 1]: p-IRT and mp-IRT.

    `seen_mean` is that of the answered items, for p-IRT the plain one, for mp-IRT the weighted one; `rest` are the
    unanswered items in the ability's coordinates. The variance is (1 - tau)^2 [g' C g + |U|^-2 sum_U p (1 - p)], C the
    ability's covariance and g = mean_U dp/dx.
    """
    left = 1.0 - answers.share
    if left == 0.0:
        return plain_mean(answers)
    p = rest.probabilities(ability.value)
    g = rest.slopes(ability.value).mean(axis=0)
    variance = left**2 * (float(g @ ability.covariance @ g) + float((p * (1.0 - p)).sum()) / len(p) ** 2)
    value = answers.share * seen_mean + left * float(p.mean())
    return TaskEstimate(min(1.0, max(0.0, value)), variance)


def gp_share(response_variance: float, n: int, irt_error: float) -> float:
    """Return lambda = b^2 / (v / (4 n) + b^2), the anchors' share in gp-IRT (see `BankTask` for v and b)."""
    b2 = irt_error**2
    return b2 / (response_variance / (ANCHOR_GAIN * n) + b2) if b2 > 0.0 else 0.0


def gmp_share(mixture: TaskEstimate, anchors: TaskEstimate, bias2: float) -> float:
    """Return delta* = (V_mp + bias^2) / (V_mp + bias^2 + V_mean), the anchors' share in gmp-IRT (C10)."""
    model = mixture.variance + max(bias2, SMALLEST_BIAS2)
    return model / (model + anchors.variance)


def blended(first: TaskEstimate, second: TaskEstimate, share: float) -> TaskEstimate:
    """Return share * first + (1 - share) * second; the errors count as independent."""
    value = share * first.value + (1.0 - share) * second.value
    return TaskEstimate(value, share**2 * first.variance + (1.0 - share) ** 2 * second.variance)
