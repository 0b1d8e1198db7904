"""Where a surrogate is fitted: accuracies on the logit scale, everything else as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, logit

from evomerge.typing import Floats

Link = Literal["logit", "identity"]

# No observation counts as more than this much surer than the middle one; a standard error of 0 is luck, not certainty.
SURER = 100.0


@dataclass(frozen=True, eq=False)
class Observations:
    """What was measured of one objective."""

    genomes: Floats  # (n, dim) in [0, 1]
    values: Floats  # (n,), higher is better
    stderrs: Floats  # (n,) standard errors of the values, at least 0
    n_items: Floats  # (n,) how many items each value rests on, at least 1

    @property
    def link(self) -> Link:
        """Logit where all values lie in [0, 1], else identity."""
        return "logit" if bool(((self.values >= 0.0) & (self.values <= 1.0)).all()) else "identity"


@dataclass(frozen=True, eq=False)
class Linked:
    """Observations on the scale of a link."""

    values: Floats  # (n,)
    variances: Floats  # (n,), positive
    # (n,) -1 where all items were wrong, so that the true value may lie anywhere below; 1 where all were right, so
    # that it may lie above; else 0
    sides: Floats


def linked(observed: Observations, link: Link) -> Linked:
    """Return observations on the scale of the link.

    On the logit scale an accuracy p of n items is clipped to [1/(2n), 1 - 1/(2n)] and has the variance (s/(p(1 - p)))²
    by the delta method, with the binomial s² = p(1 - p)/n where the standard error s is 0 (all right, or all wrong).
    """
    if link == "identity":
        values = observed.values
        return Linked(values, _floored(observed.stderrs**2, values), np.zeros(len(values)))
    least = 0.5 / np.maximum(observed.n_items, 2.0)
    p = np.clip(observed.values, least, 1.0 - least)
    spread = p * (1.0 - p)
    squares = np.where(observed.stderrs > 0.0, observed.stderrs**2, spread / observed.n_items)
    values = np.asarray(logit(p))
    sides = np.sign(p - observed.values) * -1.0
    return Linked(values, _floored(squares / spread**2, values), sides)


def natural(values: Floats, link: Link) -> Floats:
    """Return values on the scale of the objective."""
    return np.asarray(expit(values)) if link == "logit" else values


def _floored(variances: Floats, values: Floats) -> Floats:
    positive = variances[variances > 0.0]
    least = float(np.median(positive)) / SURER if len(positive) else 0.0
    return np.maximum(variances, max(least, 1e-12 * float(np.var(values)), 1e-18))
