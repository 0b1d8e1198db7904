"""The posterior of abilities and easiness, given settings: Newton steps, with the items eliminated.

Given the abilities, items are independent, so that their precision D is diagonal and abilities alone remain: n
unknowns, with the likelihood's precision S = diag(W 1) - W D^-1 W', W being the (n, items) information of the answers
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, section 3.4, with nested random effects).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fitness.estimation.pooled.answers import Answers, Link
from fitness.estimation.pooled.settings import Settings
from fitness.typing import Floats

_MAX_STEPS = 50
_LONGEST = 4.0  # logits that one step may change an ability or an item by


@dataclass(frozen=True, eq=False)
class Told:
    """What answers say of the abilities near one place, to second order: exp(-f' precision f / 2 + pull' f)."""

    weights: Any  # (n, items) W, scipy.sparse
    item_precision: Floats  # (items,) D
    item_pull: Floats  # (items,)
    precision: Floats  # (n, n) S
    pull: Floats  # (n,)

    def beside(self, other: Beside | None) -> Told:
        """Return both together."""
        if other is None:
            return self
        return replace(self, precision=self.precision + other.precision, pull=self.pull + other.pull)


@dataclass(frozen=True, eq=False)
class Beside:
    """What something else says of the abilities: exp(-f' precision f / 2 + pull' f)."""

    precision: Floats  # (n, n)
    pull: Floats  # (n,)


@dataclass(frozen=True, eq=False)
class Mode:
    """The most likely abilities (n,) and easiness (items,)."""

    abilities: Floats
    easiness: Floats

    @classmethod
    def start(cls, answers: Answers) -> Mode:
        """Return zeros."""
        return cls(np.zeros(answers.n_candidates), np.zeros(answers.n_items))

    def predictor(self, answers: Answers) -> Floats:
        """Return the linear predictor of each answer."""
        return np.asarray(self.abilities[answers.candidate] + self.easiness[answers.item])

    def residuals(self, answers: Answers, link: Link) -> Floats:
        """Return Pearson's residual of each answer, at dispersion 1."""
        information, slope = link.working(answers.values, self.predictor(answers))
        return np.asarray(slope / np.sqrt(information))


def told(answers: Answers, link: Link, settings: Settings, mode: Mode | None = None) -> Told:
    """Return what the answers say, as seen from a place; where scores are linear it is the same from all."""
    from scipy.sparse import csr_array

    eta = (mode or Mode.start(answers)).predictor(answers)
    w, slope = link.working(answers.values, eta)
    w, pull = w / settings.dispersion, (w * eta + slope) / settings.dispersion
    n, n_items = answers.n_candidates, answers.n_items
    weights = csr_array((w, (answers.candidate, answers.item)), shape=(n, n_items))
    precision = np.asarray(np.bincount(answers.item, w, n_items) + 1.0 / settings.easiness)
    item_pull = np.asarray(np.bincount(answers.item, pull, n_items), dtype=np.float64)
    shared = -(weights.multiply(1.0 / precision) @ weights.T).toarray()
    shared[np.diag_indices(n)] += np.bincount(answers.candidate, w, n)
    own_pull = np.bincount(answers.candidate, pull, n) - weights @ (item_pull / precision)
    return Told(weights, precision, item_pull, shared, own_pull)


def find_mode(
    answers: Answers,
    link: Link,
    settings: Settings,
    prior_precision: Floats,
    *,
    beside: Beside | None = None,
    tolerance: float = 1e-7,
) -> tuple[Mode, Told]:
    """Return the mode, and what the answers say there; `prior_precision` is that of the abilities, (n, n)."""
    from scipy.linalg import cho_factor, cho_solve

    mode = Mode.start(answers)
    seen = told(answers, link, settings, mode).beside(beside)
    for _ in range(_MAX_STEPS):
        abilities = cho_solve(cho_factor(prior_precision + seen.precision, lower=True), seen.pull)
        easiness = (seen.item_pull - seen.weights.T @ abilities) / seen.item_precision
        step = max(np.abs(abilities - mode.abilities).max(), np.abs(easiness - mode.easiness).max())
        # From far away Newton's steps overshoot where answers are all right or all wrong; the posterior is log-concave.
        share = min(1.0, _LONGEST / step) if step > 0.0 else 1.0
        mode = Mode(
            mode.abilities + share * (abilities - mode.abilities), mode.easiness + share * (easiness - mode.easiness)
        )
        seen = told(answers, link, settings, mode).beside(beside)
        if step <= tolerance:
            break
    return mode, seen


def inverse(matrix: Floats) -> tuple[Floats, float]:
    """Return the inverse of a positive definite matrix, and the logarithm of its determinant."""
    from scipy.linalg.lapack import dpotrf, dpotri

    factor, failed = dpotrf(matrix, lower=1)
    if failed:  # rounding: a little more on the diagonal
        factor, failed = dpotrf(matrix + 1e-8 * np.trace(matrix) / len(matrix) * np.eye(len(matrix)), lower=1)
    assert not failed, "a sum of covariances is positive definite"
    log_determinant = 2.0 * float(np.log(np.diag(factor)).sum())
    half, _ = dpotri(factor, lower=1)
    half = np.tril(half)
    return half + np.tril(half, -1).T, log_determinant
