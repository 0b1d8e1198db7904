"""What answers' margins say of abilities beside right and wrong: two outputs of one response model.

    margin ability = slope ability + apart,    margin_ij = margin ability_i + easiness'_j + noise

`apart` is a Gaussian process as the abilities are: the linear model of coregionalisation of a dear output and a cheap
one, as Kennedy and O'Hagan (Biometrika 87, 2000) relate codes of two fidelities, with the dear one first. Given the
abilities, margins tell nothing more of any other point, so that nothing else of the model changes; and as margins
count as normal, what they say of the abilities is normal, too, with `apart` integrated out.

An answer's margin and whether it is right go up and down together beyond what abilities and items explain. Margins
count for what right and wrong do not say: their noise is taken to be 1 / (1 - r^2) times as large, r being the
correlation of both residuals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fitness.estimation.pooled.answers import Answers, Linear, Link
from fitness.estimation.pooled.evidence import choose_settings
from fitness.estimation.pooled.laplace import Beside, find_mode, inverse, told
from fitness.estimation.pooled.settings import MarginSettings, Settings, of_candidates
from fitness.typing import Floats

ALIKE = (0.0, 0.14, 0.28, 0.42, 0.56, 0.7, 0.84, 0.98)  # correlations of the two abilities, as likely a priori
_WINSORISED = 0.02  # share of the margins at either end that count as the last one before them
_NOISE = 0.5  # of margins, and the variance of their items: where the search for both begins
_MOST_SHARED = 0.9  # of the margins' information, that right and wrong may say already


@dataclass(frozen=True, eq=False)
class Margins:
    """Margins of one set of tasks' answers."""

    answers: Answers

    @classmethod
    def of(cls, answers: Answers) -> Margins:
        """Return them without their tails: that a model is very sure of one answer says little of others."""
        if not len(answers.values):
            return cls(answers)
        ends = np.quantile(answers.values, [_WINSORISED, 1.0 - _WINSORISED])
        return cls(replace(answers, values=np.clip(answers.values, *ends)))

    @cached_property
    def link(self) -> Linear:
        """In units of their spread."""
        values = self.answers.values
        return Linear(float(values.mean()), float(values.std()) or 1.0)

    def beside(self, points: Floats, settings: MarginSettings) -> tuple[Beside, float]:
        """Return what the margins say of the abilities at (n, d) points, and the log evidence that `apart` adds."""
        apart = settings.apart
        seen = told(self.answers, self.link, apart, None)
        precision, log_prior_det = inverse(of_candidates(points, apart))
        covariance, log_posterior_det = inverse(precision + seen.precision)
        through = seen.precision @ covariance
        evidence = 0.5 * (float(seen.pull @ covariance @ seen.pull) - log_prior_det - log_posterior_det)
        left = seen.precision - through @ seen.precision
        slope = settings.slope
        return Beside(slope**2 * (left + left.T) / 2.0, slope * (seen.pull - through @ seen.pull)), evidence

    def choose(self, points: Floats, answers: Answers, link: Link, settings: Settings) -> MarginSettings:
        """Return settings of the margins, given those of right and wrong; `alike` is what is expected of it."""
        before = settings.margins
        first = replace(Settings.prior(points.shape[1], graded=True), easiness=_NOISE, dispersion=_NOISE)
        whole = first if before is None else before.whole
        whole = choose_settings(points, self.answers, self.link, whole, rounds=2 if before is None else 1)
        prior_precision, _ = inverse(of_candidates(points, settings))
        mode, seen = find_mode(answers, link, settings, prior_precision, tolerance=1e-3)
        own = find_mode(self.answers, self.link, whole, inverse(of_candidates(points, whole))[0], tolerance=1e-3)[0]
        residuals = [mode.residuals(answers, link), own.residuals(self.answers, self.link)]
        shared = min(_correlation(answers, self.answers, residuals) ** 2, _MOST_SHARED)
        noise = whole.dispersion / (1.0 - shared)
        ratio = np.sqrt((whole.signal + whole.own) / (settings.signal + settings.own))
        evidence = []
        for alike in ALIKE:
            beside, of_margins = self.beside(points, MarginSettings(whole, alike, alike * float(ratio), noise))
            pull = seen.pull + beside.pull
            covariance, log_det = inverse(prior_precision + seen.precision + beside.precision)
            evidence.append(of_margins + 0.5 * (float(pull @ covariance @ pull) - log_det))
        likely = np.exp(np.array(evidence) - max(evidence))
        alike = float(np.array(ALIKE) @ likely / likely.sum())
        return MarginSettings(whole, alike, alike * float(ratio), noise)


def _correlation(one: Answers, other: Answers, residuals: list[Floats]) -> float:
    """Return that of residuals of the same candidates' answers to the same items; 0 where there are too few."""
    own, others = (answers.candidate * one.n_items + answers.item for answers in (one, other))
    _, mine, theirs = np.intersect1d(own, others, return_indices=True)
    pair = residuals[0][mine], residuals[1][theirs]
    if len(mine) < 3 or not (pair[0].std() and pair[1].std()):
        return 0.0
    return float(np.corrcoef(*pair)[0, 1])
