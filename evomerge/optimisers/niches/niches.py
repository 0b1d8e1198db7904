"""M2N2's competition for items and attraction between parents, as functions of a population's scores.

Abrantes, Lange and Tang, "Competition and Attraction Improve Model Fusion", arXiv:2508.16204. With s_ij the score of
member i on item j and z_j = Σ_i s_ij, an item has c_j to give and everybody who scores there shares it:

    fitness        f_i = Σ_j w_j s_ij,             w_j = c_j / (z_j^α + ε)
    attraction     g_ab = Σ_j w_j max(s_bj - s_aj, 0)

α is the strength of the competition: 0 is a plain sum of scores (every item gives everybody the same), 1 shares all of
it. The paper writes g with α = 1 and ε > 0; the released code takes the same α as for the fitness and no ε.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from evomerge.optimisers.errors import OptimiserError

Capacity = Literal[1, "max"]
Attraction = Literal["with_alpha", "without_alpha", "none"]
Fallback = Literal["random", "fitness"]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Competition:
    """How members of a population compete for items and attract each other.

    Attributes:
        alpha: strength of the competition, at least 0.
        capacity: c_j: 1 (for scores that are 0 or 1), or "max": the best score on the item (for graded ones).
        eps: ε, at least 0; where z_j^α + ε is 0 nobody scores, and the item gives nothing.
        attraction: whether the second parent is drawn by attraction, with the same α or with α = 1; "none" draws both
            by fitness, with replacement.
        fallback: the second parent where nobody attracts the first (0/0 in the released code): any other member, each
            as likely, or one by "fitness".
    """

    alpha: float = 1.0
    capacity: Capacity = 1
    eps: float = 0.0
    attraction: Attraction = "with_alpha"
    fallback: Fallback = "random"

    def __post_init__(self) -> None:
        """Check that every value is in range and known."""
        for name in ("alpha", "eps"):
            value: Any = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < np.inf:
                raise OptimiserError(f"{name}: expected a number of at least 0, found {value!r}")
        for name, known in (("capacity", Capacity), ("attraction", Attraction), ("fallback", Fallback)):
            if getattr(self, name) not in get_args(known) or getattr(self, name) is True:
                expected = ", ".join(map(str, get_args(known)))
                raise OptimiserError(f"{name}: expected one of {expected}, found {getattr(self, name)!r}")


@dataclass(frozen=True, eq=False)
class Contest:
    """A population's scores in a competition. What parents are drawn by is worked out once, however many are drawn."""

    scores: Scores  # (n_members, n_items), none of them negative (see `counted_from_zero`); they do not change
    competition: Competition  # its rules

    @cached_property
    def fitness(self) -> NDArray[np.float64]:
        """Fitness f of every member: (n_members,), at least 0."""
        return _weighed(self.scores, self.worth)

    @cached_property
    def worth(self) -> NDArray[np.float64]:
        """What w every item gives: (n_items,); any finite number where nobody scores."""
        return self._worth(self.competition.alpha)

    def attractiveness(self, first: int) -> NDArray[np.float64]:
        """Return g of every member to the member `first`: (n_members,), at least 0."""
        lacking = np.flatnonzero(self.scores[first] < self._best)  # on all other items nobody has more
        better = self.scores.take(lacking, axis=1)
        own = better[first].copy()
        if own.any():
            better -= own
            np.maximum(better, 0.0, out=better)
        return _weighed(better, self._worth_to_mates[lacking])

    def pair(self, rng: np.random.Generator) -> tuple[int, int]:
        """Draw two parents out of at least two members; attraction never mates a member with itself."""
        first = roulette(self.fitness, rng)
        if self.competition.attraction == "none":
            return first, roulette(self.fitness, rng)
        attractiveness = self.attractiveness(first)
        if attractiveness.any():
            return first, roulette(attractiveness, rng)
        others = self.fitness.copy() if self.competition.fallback == "fitness" else np.ones(len(self.scores))
        if not np.delete(others, first).any():
            others[:] = 1.0
        others[first] = 0.0
        return first, roulette(others, rng)

    @cached_property
    def _best(self) -> NDArray[np.float64]:
        best: NDArray[np.float64] = self.scores.max(axis=0)
        return best

    @cached_property
    def _worth_to_mates(self) -> NDArray[np.float64]:
        return self._worth(1.0) if self.competition.attraction == "without_alpha" else self.worth

    def _worth(self, alpha: float) -> NDArray[np.float64]:
        shared = self.scores.sum(axis=0)
        if alpha != 1.0:
            shared **= alpha
        shared += self.competition.eps
        worth: NDArray[np.float64] = np.ones(len(shared)) if self.competition.capacity == 1 else self._best.copy()
        np.divide(worth, shared, out=worth, where=shared > 0.0)
        return worth


def _weighed(scores: Scores, worth: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not `@`: the last bit of a BLAS product depends on the number of threads, and a resumed search may have another.
    weighed: NDArray[np.float64] = np.einsum("ij,j->i", scores, worth)
    return weighed


def counted_from_zero(scores: Scores) -> Scores:
    """Return scores of which none is negative: items with negative ones count from their lowest."""
    return scores if scores.min() >= 0.0 else scores - np.minimum(scores.min(axis=0), 0.0)


def roulette(shares: NDArray[np.float64], rng: np.random.Generator) -> int:
    """Draw an index in proportion to shares that are not negative; all alike where all are zero."""
    upper = np.cumsum(shares)
    if upper[-1] == 0.0:
        return int(rng.integers(len(shares)))
    # Never one without a share, even if the product rounds up to the sum of all.
    drawn = int(np.searchsorted(upper, rng.random() * upper[-1], side="right"))
    return drawn if drawn < len(shares) else int(np.flatnonzero(shares)[-1])
