"""Choosing settings: what makes the answers most likely, together with the settings' own priors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fitness.estimation.pooled.answers import Answers, Link
from fitness.estimation.pooled.laplace import Beside, Mode, Told, find_mode, inverse
from fitness.estimation.pooled.settings import (
    CONSTANT,
    Settings,
    correlation,
    correlation_slope,
    log_prior,
    of_candidates,
    squared_distances,
)
from fitness.typing import Floats

MOST = 256  # candidates that settings are chosen by; of more, every so manieth
_STEPS = 12  # of L-BFGS in a round
_EASINESS, _EASINESS_COUNT = 2.0, 4.0  # prior variance of easiness, and how many items it counts as
_LEAST_DISPERSION = 1e-3


def choose_settings(
    points: Floats,
    answers: Answers,
    link: Link,
    settings: Settings,
    *,
    rounds: int,
    beside: Beside | None = None,
) -> Settings:
    """Return better settings: by turns those of the kernel, and those of the items and the scores.

    The answers are seen to second order from the mode under the settings so far (penalised quasi-likelihood: Breslow
    and Clayton, JASA 88, 1993), which makes the evidence that of a Gaussian process with normal noise.
    """
    for _ in range(rounds):
        prior_precision, _ = inverse(of_candidates(points, settings))
        mode, seen = find_mode(answers, link, settings, prior_precision, beside=beside, tolerance=1e-3)
        settings = _of_kernel(points, seen, settings)
        prior_precision, _ = inverse(of_candidates(points, settings))
        mode, seen = find_mode(answers, link, settings, prior_precision, beside=beside, tolerance=1e-3)
        settings = _of_items(answers, link, settings, mode, (prior_precision, seen))
    return settings


def _of_kernel(points: Floats, seen: Told, settings: Settings) -> Settings:
    from scipy.optimize import minimize

    dim = points.shape[1]
    bounds = [(-2.0, 6.0)] * dim + [(-6.0, 5.0), (-9.0, 3.0)]
    low, high = np.transpose(bounds)
    start = np.clip(settings.of_kernel, low, high)
    evidence = Evidence(points, seen)
    found = minimize(evidence.loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS})
    chosen = np.exp(found.x)
    return replace(settings, lengths=chosen[:dim], signal=float(chosen[dim]), own=float(chosen[dim + 1]))


@dataclass(frozen=True, eq=False)
class Evidence:
    """Minus the log evidence of what answers say, with the settings' priors, as a function of `Settings.of_kernel`."""

    points: Floats
    seen: Told

    def loss(self, of_kernel: Floats) -> tuple[float, Floats]:
        """Return it and its slope."""
        n, dim = self.points.shape
        *_, signal, own = np.exp(of_kernel)
        lengths = np.exp(of_kernel[:dim])
        squared = squared_distances(self.points, self.points, lengths)
        squared[np.diag_indices(n)] = 0.0
        alike = correlation(squared)
        covariance = signal * alike + CONSTANT
        covariance[np.diag_indices(n)] += own
        precision, log_prior_det = inverse(covariance)
        posterior, log_posterior_det = inverse(precision + self.seen.precision)
        mean = posterior @ self.seen.pull
        prior, prior_slope = log_prior(of_kernel)
        value = 0.5 * (float(self.seen.pull @ mean) - log_prior_det - log_posterior_det) + prior
        # d value = tr(G dK) / 2 with G = a a' - (K + S^-1)^-1 and a = K^-1 mean.
        a = self.seen.pull - self.seen.precision @ mean
        gain = np.outer(a, a) - precision + precision @ posterior @ precision
        by_lengths = self._by_lengths(gain * (signal * correlation_slope(squared)), lengths)
        others = [0.5 * signal * float((gain * alike).sum()), 0.5 * own * float(np.trace(gain))]
        return -value, -(np.append(by_lengths, others) + prior_slope)

    def _by_lengths(self, pairs: Floats, lengths: Floats) -> Floats:
        """Return (dim,) half sums over pairs of candidates, each times their squared distance along a gene."""
        x = np.nan_to_num(self.points)
        return np.asarray((pairs.sum(axis=1) @ x**2 - (x * (pairs @ x)).sum(axis=0)) / lengths**2)


def _of_items(answers: Answers, link: Link, settings: Settings, mode: Mode, known: tuple[Floats, Told]) -> Settings:
    """Return settings after an EM step for the easiness's variance, and for the dispersion of graded scores."""
    prior_precision, seen = known
    covariance, _ = inverse(prior_precision + seen.precision)
    shares = (seen.weights.multiply(1.0 / seen.item_precision)).toarray()  # (n, items)
    with_items = -covariance @ shares
    variances = 1.0 / seen.item_precision - (with_items * shares).sum(axis=0)
    total = float((mode.easiness**2 + variances).sum()) + _EASINESS_COUNT * _EASINESS
    settings = replace(settings, easiness=total / (answers.n_items + _EASINESS_COUNT))
    if answers.right_or_wrong:
        return replace(settings, dispersion=1.0)
    w, slope = link.working(answers.values, mode.predictor(answers))
    unsure = np.diag(covariance)[answers.candidate] + variances[answers.item]
    unsure = unsure + 2.0 * with_items[answers.candidate, answers.item]
    dispersion = float((slope**2 / w + w * unsure).mean())
    return replace(settings, dispersion=max(_LEAST_DISPERSION, min(dispersion, 1.0)))
