"""What the pooled model takes for granted of one set of tasks, the priors of it, and the kernel of abilities."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from fitness.typing import Floats

CONSTANT = 9.0  # prior variance of what all abilities have in common, in squared logits
# ln length ~ N(ln(d) / 2 - 0.75, 1): lengths grow as the cube's diagonal does, so that more genes do not mean less
# likeness (Hvarfner, Hellsten and Nardi, "Vanilla Bayesian optimization performs great in high dimensions", 2024).
# Their centre (ln(d) / 2 + sqrt 2) and deviation (sqrt 3) go with a signal of 1; here, where it is free, they gave
# worse estimates and too narrow intervals on the merges of experiments/reduction. Of the others: of their logarithms.
_LENGTH, _LENGTH_SD = -0.75, 1.0
_SIGNAL, _SIGNAL_SD = math.log(1.0), 1.5
_OWN, _OWN_SD = math.log(0.1), 1.0


@dataclass(frozen=True, eq=False)
class Settings:
    """Hyperparameters; a fit begins at those of an earlier one.

    Attributes:
        lengths: (d,) how far apart, per gene, abilities still resemble each other; genes are in [0, 1].
        signal: variance of what the genes explain, in squared logits (or of standardised scores).
        own: variance of what is particular to one candidate.
        easiness: variance of the items' easiness.
        dispersion: variance of a score, in units of p (1 - p) (or of standardised scores); 1 for right or wrong.
        margins: of the answers' margins; None where there are none.
    """

    lengths: Floats
    signal: float
    own: float
    easiness: float
    dispersion: float
    margins: MarginSettings | None = None

    @classmethod
    def prior(cls, dim: int, *, graded: bool) -> Settings:
        """Return where a first fit begins."""
        lengths = np.full(dim, math.exp(_LENGTH) * math.sqrt(dim))
        return cls(lengths, 1.0, math.exp(_OWN), 2.0, 0.05 if graded else 1.0)

    @property
    def of_kernel(self) -> Floats:
        """Return (d + 2,) logarithms: lengths, signal, own."""
        return np.asarray(np.log(np.append(self.lengths, [self.signal, self.own])))


@dataclass(frozen=True, eq=False)
class MarginSettings:
    """How answers' margins go with right and wrong.

    Attributes:
        whole: of the margins alone, in units of their spread.
        alike: correlation of their abilities with those of right and wrong, at least 0; at 0 they say nothing.
        slope: by how much a margin's ability goes up with one logit.
        noise: variance of a margin, given abilities and items, that right and wrong do not say.
    """

    whole: Settings
    alike: float
    slope: float
    noise: float

    @property
    def apart(self) -> Settings:
        """Settings of what margins have of their own."""
        left = 1.0 - self.alike**2
        whole = self.whole
        return replace(whole, signal=left * whole.signal, own=left * whole.own, dispersion=self.noise)


def log_prior(of_kernel: Floats) -> tuple[float, Floats]:
    """Return the log prior density of `Settings.of_kernel`, up to a constant, and its slope."""
    dim = len(of_kernel) - 2
    centre = np.append(np.full(dim, _LENGTH + 0.5 * math.log(max(dim, 1))), [_SIGNAL, _OWN])
    spread = np.append(np.full(dim, _LENGTH_SD), [_SIGNAL_SD, _OWN_SD])
    apart = (of_kernel - centre) / spread
    return -0.5 * float(apart @ apart), -apart / spread


def squared_distances(points: Floats, others: Floats, lengths: Floats) -> Floats:
    """Return (n, m) squared distances in units of the lengths; infinite from or to a point of NaNs."""
    one, other = points / lengths, others / lengths
    found = (one * one).sum(axis=1)[:, None] + (other * other).sum(axis=1) - 2.0 * (one @ other.T)
    return np.where(np.isnan(found), np.inf, np.maximum(found, 0.0))


def correlation(squared: Floats) -> Floats:
    """Return Matern 5/2 of squared distances."""
    far = np.sqrt(5.0 * np.minimum(squared, 1e5))
    return np.asarray((1.0 + far + far * far / 3.0) * np.exp(-far))


def correlation_slope(squared: Floats) -> Floats:
    """Return -2 times the derivative of `correlation` by the squared distance."""
    far = np.sqrt(5.0 * np.minimum(squared, 1e5))
    return np.asarray(5.0 / 3.0 * (1.0 + far) * np.exp(-far))


def between(points: Floats, others: Floats, settings: Settings) -> Floats:
    """Return (n, m) prior covariances of the abilities at points, without what is particular to candidates."""
    return settings.signal * correlation(squared_distances(points, others, settings.lengths)) + CONSTANT


def of_candidates(points: Floats, settings: Settings) -> Floats:
    """Return the (n, n) prior covariance of candidates; those without a point share only what all have in common."""
    covariance = between(points, points, settings)
    covariance[np.diag_indices(len(points))] = settings.signal + CONSTANT + settings.own
    return covariance
