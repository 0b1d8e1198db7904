"""The options of random search."""

from __future__ import annotations

from typing import Any, Literal

from evomerge.optimisers.options import OptimiserOptions
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser


class Random(OptimiserOptions):
    """Genomes drawn uniformly: the baseline."""

    kind: Literal["random"] = "random"

    @property
    def generational(self) -> bool:
        """It never waits."""
        return False

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh random search."""
        from evomerge.optimisers.random_search import RandomSearch

        return RandomSearch(problem.dim, seed=problem.seed)
