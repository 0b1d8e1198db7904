"""Random search: the baseline that every other optimiser must beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Outcome
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import proposals_of
from evomerge.seeds import stream


class RandomSearch:
    """Draw genomes uniformly from the unit cube; never waits and learns nothing."""

    def __init__(self, dim: int, *, seed: int) -> None:
        if dim < 1:
            raise OptimiserError(f"dim: expected at least 1 gene to search, found {dim}")
        self._dim = dim
        self._rng = stream(seed, "random_search")
        self._asked = 0
        self._pending: set[int] = set()

    def ask(self, n: int) -> list[NDArray[np.float64]]:
        """Return n genomes, each (dim,) in [0, 1)."""
        genomes = [self._rng.random(self._dim) for _ in range(n)]
        self._pending.update(range(self._asked, self._asked + len(genomes)))
        self._asked += len(genomes)
        return genomes

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Check that each outcome belongs to a pending proposal."""
        told = [outcome.candidate.proposal for outcome in outcomes]
        if not self._pending.issuperset(told) or len(set(told)) < len(told):
            proposals_of(outcomes, asked=self._asked, pending=self._pending)  # says what is wrong
        self._pending.difference_update(told)
