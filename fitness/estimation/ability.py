"""What a model's few answers say about its abilities, and what those say about all other items.

Newton's method with a ridge around a prior centre: finite where the maximum likelihood is
not, at all right and all wrong. The same routine serves free abilities (coordinates = discriminations, prior = the
population) and mixtures of endpoints (coordinates = the endpoints' abilities seen through each item, prior = the
candidate's own merge weights).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitness.estimation.link import curvature, information, log_likelihood, predicted, score_slope, sigmoid
from fitness.estimation.response_model import ItemParameters
from fitness.typing import Floats

MAX_STEPS = 50


@dataclass(frozen=True, eq=False)
class Ability:
    """A model's place in some coordinates."""

    value: Floats  # (k,) the posterior mode
    covariance: Floats  # (k, k) of the posterior (Laplace)
    converged: bool  # whether Newton's steps ended by themselves

    @property
    def stderrs(self) -> Floats:
        """Return the (k,) standard errors."""
        return np.asarray(np.sqrt(np.diag(self.covariance)))


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Items as a model's coordinates see them: eta = offsets + design @ value."""

    design: Floats  # (n_items, k)
    offsets: Floats  # (n_items,)
    guessing: Floats  # (n_items,)
    centre: Floats  # (k,) the prior's mean
    ridge: float  # the prior's precision, the same in every direction, above 0

    @classmethod
    def free(cls, items: ItemParameters) -> Coordinates:
        """Return abilities themselves, with the population N(0, I) as prior (p-IRT)."""
        return cls(items.discriminations, items.intercepts, items.guessing, np.zeros(items.dims), 1.0)

    @classmethod
    def mixture(
        cls,
        items: ItemParameters,
        endpoints: Mapping[str, Floats],
        *,
        shares: Mapping[str, float] | None = None,
        ridge: float,
    ) -> Coordinates:
        """Return how much of each endpoint's (dims,) abilities a merge has (mp-IRT); no limits on the shares.

        The prior, of precision `ridge`, is centred at the candidate's own merge weights; left out: all the same.
        """
        names = list(endpoints)
        equal = 1.0 / len(names)
        centre = [equal if shares is None else float(shares.get(name, 0.0)) for name in names]
        design = items.discriminations @ np.stack([endpoints[name] for name in names], axis=1)
        return cls(design, items.intercepts, items.guessing, np.array(centre), ridge)

    def of(self, items: NDArray[np.intp]) -> Coordinates:
        """Return the coordinates of some items, by index."""
        design, offsets, guessing = self.design[items], self.offsets[items], self.guessing[items]
        return Coordinates(design, offsets, guessing, self.centre, self.ridge)

    def probabilities(self, value: Floats) -> Floats:
        """Return (n_items,) chances of a right answer at (k,) coordinates."""
        return predicted(self.offsets + self.design @ value, self.guessing)

    def slopes(self, value: Floats) -> Floats:
        """Return (n_items, k) derivatives of `probabilities`."""
        s = sigmoid(self.offsets + self.design @ value)
        return np.asarray(((1.0 - self.guessing) * s * (1.0 - s))[:, None] * self.design)


def fit_ability(coordinates: Coordinates, scores: Floats | Sequence[float]) -> Ability:
    """Return the posterior mode of a model's coordinates, and how sure it is.

    Maximises sum_i [y_i log p_i + (1 - y_i) log(1 - p_i)] - ridge/2 |x - centre|^2 by Newton steps, halved where
    they overshoot. Graded (n_items,) scores in [0, 1] enter as they are; with no items the prior is returned.
    """
    y, c = np.asarray(scores, dtype=np.float64), coordinates
    x, ridge = c.centre.copy(), c.ridge * np.eye(len(c.centre))
    best = _log_posterior(c, y, x)
    converged = False
    for _ in range(MAX_STEPS):
        eta = c.offsets + c.design @ x
        gradient = c.design.T @ score_slope(y, eta, c.guessing) - c.ridge * (x - c.centre)
        bend = (c.design * curvature(y, eta, c.guessing)[:, None]).T @ c.design
        step = np.linalg.solve(bend + ridge, gradient)
        while (value := _log_posterior(c, y, x + step)) < best - 1e-12 and np.abs(step).max() > 1e-9:
            step = step / 2.0
        x, best = x + step, value
        if converged := bool(np.abs(step).max() <= 1e-8 * (1.0 + np.abs(x).max())):
            break
    told = (c.design * information(c.offsets + c.design @ x, c.guessing)[:, None]).T @ c.design
    covariance = np.linalg.inv(told + ridge)
    return Ability(x, np.asarray(covariance, dtype=np.float64), converged)


def _log_posterior(c: Coordinates, y: Floats, x: Floats) -> float:
    eta = c.offsets + c.design @ x
    likelihood = float(log_likelihood(y, eta, c.guessing).sum())
    return likelihood - 0.5 * c.ridge * float(((x - c.centre) ** 2).sum())
