"""The link of the response model in log-sigmoid forms: exact and finite however extreme the ability."""

from __future__ import annotations

import numpy as np

from fitness.typing import Floats


def sigmoid(eta: Floats) -> Floats:
    """Return 1 / (1 + exp(-eta)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * eta)))


def predicted(eta: Floats, guessing: Floats | float = 0.0) -> Floats:
    """Return p = c + (1 - c) sigma(eta)."""
    return np.asarray(guessing + (1.0 - guessing) * sigmoid(eta))


def log_likelihood(scores: Floats, eta: Floats, guessing: Floats | float = 0.0) -> Floats:
    """Return y log p + (1 - y) log(1 - p), the quasi-likelihood for y in [0, 1], elementwise."""
    log_wrong = np.log1p(-np.asarray(guessing)) - np.logaddexp(0.0, eta)
    if not np.any(guessing):
        return np.asarray(scores * eta + log_wrong)  # log p - log(1 - p) = eta
    with np.errstate(divide="ignore"):
        floor = np.log(guessing)
    log_right = np.logaddexp(floor, np.log1p(-np.asarray(guessing)) - np.logaddexp(0.0, -eta))
    return np.asarray(scores * log_right + (1.0 - scores) * log_wrong)


def score_slope(scores: Floats, eta: Floats, guessing: Floats | float = 0.0) -> Floats:
    """Return the derivative of `log_likelihood` by eta: (y - p) s / p, with s = sigma(eta); y - p without guessing."""
    s = sigmoid(eta)
    if not np.any(guessing):
        return np.asarray(scores - s)
    p = guessing + (1.0 - guessing) * s
    # s / p tends to 1 where c = 0 and both vanish.
    share = np.divide(s, p, out=np.ones_like(p), where=p > 0.0)
    return np.asarray((scores - p) * share)


def information(eta: Floats, guessing: Floats | float = 0.0) -> Floats:
    """Return the Fisher information of eta in one right-or-wrong answer: (1 - c) s^2 (1 - s) / p."""
    s = sigmoid(eta)
    p = guessing + (1.0 - guessing) * s
    share = np.divide(s, p, out=np.ones_like(p), where=p > 0.0)
    return np.asarray((1.0 - guessing) * share * s * (1.0 - s))


def curvature(scores: Floats, eta: Floats, guessing: Floats | float = 0.0) -> Floats:
    """Return minus the second derivative of `log_likelihood` by eta, at least the Fisher information.

    It is s (1 - s) (1 - y c / p^2), which guessing can make negative where the answer was right.
    """
    expected = information(eta, guessing)
    if not np.any(guessing):
        return expected
    s = sigmoid(eta)
    p = guessing + (1.0 - guessing) * s
    explained = np.divide(scores * guessing, p**2, out=np.ones_like(p), where=p > 0.0)
    return np.asarray(np.maximum(expected, s * (1.0 - s) * (1.0 - explained)))
