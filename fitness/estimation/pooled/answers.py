"""Who answered what, in numbers, and how scores and the model's linear predictor are linked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fitness.estimation.link import sigmoid
from fitness.typing import Floats, Ints

_LEAST_WEIGHT = 1e-6  # of an answer that the model is sure of


@dataclass(frozen=True, eq=False)
class Answers:
    """Scores of one set of tasks: the k-th is that of candidate `candidate[k]` on item `item[k]`."""

    candidate: Ints
    item: Ints
    values: Floats
    n_candidates: int
    n_items: int

    @property
    def right_or_wrong(self) -> bool:
        """Whether every score is 0 or 1, so that its mean says its variance."""
        return bool(((self.values == 0.0) | (self.values == 1.0)).all())

    def of(self, candidates: Ints) -> Answers:
        """Return those of some candidates, ascending, which are numbered anew."""
        place = np.full(self.n_candidates, -1)
        place[candidates] = np.arange(len(candidates))
        kept = place[self.candidate] >= 0
        return Answers(place[self.candidate[kept]], self.item[kept], self.values[kept], len(candidates), self.n_items)


class Link(Protocol):
    """From the linear predictor eta to a score, as far as a Laplace approximation needs it."""

    def working(self, values: Floats, eta: Floats) -> tuple[Floats, Floats]:
        """Return information of eta in each score and the slope of its log likelihood, at dispersion 1."""
        ...

    def expected(self, eta: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """Return the mean score where eta is N(eta, variance), and its derivative by eta."""
        ...

    def spread(self, expected: Floats) -> Floats:
        """Return the variance of a score about its mean, at dispersion 1."""
        ...


class Logistic:
    """Scores in [0, 1]: right or wrong, or graded by quasi-likelihood (Wedderburn 1974)."""

    def working(self, values: Floats, eta: Floats) -> tuple[Floats, Floats]:
        """See `Link`."""
        p = sigmoid(eta)
        return np.maximum(p * (1.0 - p), _LEAST_WEIGHT), values - p

    def expected(self, eta: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """See `Link`; by MacKay's approximation (Neural Computation 4, 1992, eq. 10)."""
        shrink = 1.0 / np.sqrt(1.0 + np.pi / 8.0 * variance)
        p = sigmoid(eta * shrink)
        return p, p * (1.0 - p) * shrink

    def spread(self, expected: Floats) -> Floats:
        """See `Link`."""
        return np.asarray(expected * (1.0 - expected))


@dataclass(frozen=True)
class Linear:
    """Scores beyond [0, 1], such as log-likelihoods: normal, in units of their spread over all answers."""

    centre: float
    scale: float

    def working(self, values: Floats, eta: Floats) -> tuple[Floats, Floats]:
        """See `Link`."""
        return np.ones_like(eta), (values - self.centre) / self.scale - eta

    def expected(self, eta: Floats, variance: Floats) -> tuple[Floats, Floats]:  # noqa: ARG002
        """See `Link`."""
        return self.centre + self.scale * eta, np.full_like(eta, self.scale)

    def spread(self, expected: Floats) -> Floats:
        """See `Link`."""
        return np.full_like(expected, self.scale**2)


def link_of(values: Floats) -> Link:
    """Return the link for such scores."""
    if not len(values) or (values.min() >= 0.0 and values.max() <= 1.0):
        return Logistic()
    spread = float(values.std())
    return Linear(float(values.mean()), spread if spread > 0.0 else 1.0)
