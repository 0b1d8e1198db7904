"""CycleQD's individuals: sums of the parents' task vectors, and of mutations along the parents' singular directions.

A mutation adds U diag(r ∘ s) Vᵀ of one parent's task vector, r drawn by the mutation's number. Children are means of
two parents, so that every individual is, by induction, one weight for each parent's task vector and one for each
mutation among its ancestors; no weights are stored, and its recipe (operator `rank_scaled`) makes it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import SpaceError
from search_spaces.recipes.rule import Input, Rule

OPERATOR = "rank_scaled"
# A mutation of ten halvings ago moves nothing any more, and is left out.
FAINT = 2.0**-10

Mutation = tuple[int, int]  # the parent along whose task vector, and the number of its draw, at least 1


@dataclass(frozen=True)
class RankScaled:
    """A weight for each parent's task vector, and the mutations with theirs."""

    weights: tuple[float, ...]  # (K,)
    mutations: tuple[tuple[Mutation, float], ...] = ()  # ascending

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float64]:
        """Return [K, weights, then parent, draw and weight of each mutation] as one flat float64 vector."""
        mutations = [number for (parent, draw), weight in self.mutations for number in (parent, draw, weight)]
        flat = np.array([len(self.weights), *self.weights, *mutations], dtype=np.float64)
        return flat if dtype is None else flat.astype(dtype)

    def mixed(self, other: RankScaled, shares: tuple[float, float]) -> RankScaled:
        """Return the mean of two individuals, of shares that are above 0 together."""
        own, others = (share / sum(shares) for share in shares)
        weights = tuple(own * a + others * b for a, b in zip(self.weights, other.weights, strict=True))
        mutations: dict[Mutation, float] = defaultdict(float)
        for share, one in ((own, self), (others, other)):
            for mutation, weight in one.mutations:
                mutations[mutation] += share * weight
        return RankScaled(weights, tuple(sorted(mutations.items())))

    def mutated(self, parent: int, draw: int, size: float) -> RankScaled:
        """Return the individual with a mutation of a size along a parent's task vector, without its faint ones."""
        kept = [one for one in self.mutations if abs(one[1]) >= FAINT * size]
        return RankScaled(self.weights, tuple(sorted([*kept, ((parent, draw), size)])))

    def rule(self, parents: Sequence[str]) -> Rule:
        """Return the rule that makes it, of parents by name."""
        alone = [Input(name, {"weight": weight}) for name, weight in zip(parents, self.weights, strict=True)]
        drawn = [Input(parents[p], {"weight": weight, "draw": draw}) for (p, draw), weight in self.mutations]
        return Rule(OPERATOR, (*alone, *drawn))

    @staticmethod
    def of_rule(rule: Rule, parents: Sequence[str]) -> RankScaled:
        """Return the individual of a rule that `rule` made.

        Raises:
            SpaceError: it is none.
        """
        n = len(parents)
        if rule.operator != OPERATOR or [given.parent for given in rule.inputs[:n]] != list(parents):
            raise SpaceError(f"rules: expected one of {OPERATOR} with the parents {list(parents)}, found another")

        def number(given: Mapping[str, Any], name: str) -> float:
            return float(given.get(name, 0.0))

        weights = tuple(number(given.parameters, "weight") for given in rule.inputs[:n])
        mutations = tuple(
            ((parents.index(given.parent), int(number(given.parameters, "draw"))), number(given.parameters, "weight"))
            for given in rule.inputs[n:]
        )
        return RankScaled(weights, mutations)
