"""One set of tasks, fitted: abilities anywhere, and the mean scores on all items that they come to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fitness.estimation.pooled.answers import Answers, Link, link_of
from fitness.estimation.pooled.evidence import MOST, choose_settings
from fitness.estimation.pooled.laplace import Beside, Mode, Told, find_mode, inverse
from fitness.estimation.pooled.margins import Margins
from fitness.estimation.pooled.settings import CONSTANT, Settings, between, of_candidates
from fitness.typing import Floats

Moments = tuple[Floats, Floats]  # (m,) means, (m,) variances or (m, m) covariances


@dataclass(frozen=True, eq=False)
class Abilities:
    """Abilities of m candidates or places, as seen from those of the n that answered.

    Attributes:
        through: (m, n) what each is of the abilities that answered.
        left: (m, m) prior covariance that these do not explain.
    """

    through: Floats
    left: Floats


@dataclass(frozen=True, eq=False)
class FittedGroup:
    """Answers to tasks that the same objectives have, and their posterior."""

    points: Floats  # (n, d)
    answers: Answers
    link: Link
    settings: Settings
    prior_precision: Floats  # (n, n)
    mode: Mode
    told: Told

    @classmethod
    def fit(
        cls, points: Floats, answers: Answers, margins: Answers, settings: Settings | None, rounds: int
    ) -> FittedGroup:
        """Fit the model; settings are chosen first, in so many rounds that begin at those given."""
        link = link_of(answers.values)
        if settings is None:
            settings = Settings.prior(points.shape[1], graded=not answers.right_or_wrong)
        settings = _chosen(points, answers, margins, settings, rounds)
        prior_precision, _ = inverse(of_candidates(points, settings))
        beside = _beside(points, Margins.of(margins), settings)
        mode, seen = find_mode(answers, link, settings, prior_precision, beside=beside)
        return cls(points, answers, link, settings, prior_precision, mode, seen)

    @cached_property
    def covariance(self) -> Floats:
        """Posterior covariance of the abilities that answered; (n, n)."""
        return inverse(self.prior_precision + self.told.precision)[0]

    @cached_property
    def shares(self) -> Floats:
        """What an item's easiness moves by, down, where a candidate's ability moves up; (n, items)."""
        return (self.told.weights.multiply(1.0 / self.told.item_precision)).toarray()  # type: ignore[no-any-return]

    @cached_property
    def _with_items(self) -> Floats:
        return -self.covariance @ self.shares

    @cached_property
    def easiness_variances(self) -> Floats:
        """Posterior variances of the items' easiness; (items,)."""
        return np.asarray(1.0 / self.told.item_precision - (self._with_items * self.shares).sum(axis=0))

    def own(self) -> Abilities:
        """Return the abilities of those that answered, what is particular to them included."""
        n = len(self.points)
        return Abilities(np.eye(n), np.zeros((n, n)))

    def at(self, points: Floats) -> Abilities:
        """Return the abilities at (m, d) points, without what is particular to a candidate there."""
        across = between(points, self.points, self.settings)
        through = across @ self.prior_precision
        prior = between(points, points, self.settings)
        prior[np.diag_indices(len(points))] = self.settings.signal + CONSTANT  # also where a point is no place
        return Abilities(through, prior - through @ across.T)

    def item_means(self, abilities: Abilities) -> Moments:
        """Return (m, items) expected scores, and their slopes along the linear predictor."""
        through = abilities.through
        variance = ((through @ self.covariance) * through).sum(axis=1) + np.diag(abilities.left)
        variances = variance[:, None] + self.easiness_variances + 2.0 * (through @ self._with_items)
        eta = (through @ self.mode.abilities)[:, None] + self.mode.easiness
        return self.link.expected(eta, np.maximum(variances, 0.0))

    def objective(self, abilities: Abilities, weights: Floats, *, joint: bool) -> Moments:
        """Return moments of sum_items weight * expected score; (items,) or (m, items) weights."""
        means, slopes = self.item_means(abilities)
        sloped = slopes * weights
        total = sloped.sum(axis=1)
        through = total[:, None] * abilities.through - sloped @ self.shares.T
        by_items = sloped / self.told.item_precision
        values = (means * weights).sum(axis=1)
        if not joint:
            left = total**2 * np.diag(abilities.left) + (by_items * sloped).sum(axis=1)
            return values, ((through @ self.covariance) * through).sum(axis=1) + left
        left = np.outer(total, total) * abilities.left + by_items @ sloped.T
        return values, through @ self.covariance @ through.T + left

    def answered(self, weights: Floats) -> Moments:
        """Return moments of sum_items weight * score of those that answered, (n,) and (n, n).

        What was answered counts as it was, the rest as expected, with the chance that is in answers.
        """
        answers = self.answers
        rest = np.tile(weights, (answers.n_candidates, 1))
        rest[answers.candidate, answers.item] = 0.0
        own = self.own()
        values, covariance = self.objective(own, rest, joint=True)
        values = values + np.bincount(
            answers.candidate, weights[answers.item] * answers.values, minlength=answers.n_candidates
        )
        spread = self.link.spread(self.item_means(own)[0]) * self.settings.dispersion
        return values, covariance + np.diag((rest**2 * spread).sum(axis=1))


def _chosen(points: Floats, answers: Answers, margins: Answers, settings: Settings, rounds: int) -> Settings:
    """Return settings after some rounds, those of the margins after the others in each."""
    link = link_of(answers.values)
    if len(points) > MOST:
        some = np.unique(np.linspace(0, len(points) - 1, MOST).round().astype(np.int64))
        points, answers, margins = points[some], answers.of(some), margins.of(some)
    told = Margins.of(margins)
    for _ in range(rounds):
        beside = _beside(points, told, settings)
        settings = choose_settings(points, answers, link, settings, rounds=1, beside=beside)
        if len(told.answers.values):
            settings = replace(settings, margins=told.choose(points, answers, link, settings))
    return settings


def _beside(points: Floats, margins: Margins, settings: Settings) -> Beside | None:
    if settings.margins is None or not settings.margins.alike or not len(margins.answers.values):
        return None
    return margins.beside(points, settings.margins)[0]
