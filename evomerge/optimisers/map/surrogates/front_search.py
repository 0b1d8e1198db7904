"""The front of a cheap function over a box, by NSGA-II or, from three objectives on, NSGA-III."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from evomerge.optimisers.pymoo.pymoo_randomness import drawing_from
from evomerge.optimisers.pymoo.reference_directions import reference_directions
from evomerge.typing import Floats

Function = Callable[[Floats], Floats]


@dataclass(frozen=True)
class FrontSearch:
    """How long to search; the function costs nothing beside a real evaluation.

    Attributes:
        population: at least 4.
        generations: at least 1.
    """

    population: int = 60
    generations: int = 25

    def run(
        self, values: Function, excess: Function, *, box: tuple[Floats, Floats], starts: Floats, seed: int
    ) -> Floats:
        """Return (k, dim) genomes whose values no other found genome dominates, those within the limits if any are.

        Args:
            values: (n, dim) genomes -> (n, m), higher is better.
            excess: (n, dim) genomes -> (n, n_limits), at most 0 where a limit is kept.
            box: (dim,) lowest and highest genes.
            starts: (s, dim) genomes to begin with; evenly thinned to half a population.
            seed: of the random numbers.
        """
        from pymoo.core.problem import Problem
        from pymoo.optimize import minimize

        low, high = box
        kept = np.unique(np.linspace(0, len(starts) - 1, self.population // 2).round().astype(int))
        starts = np.clip(starts[kept], low, high)
        n_objectives, n_limits = values(starts).shape[1], excess(starts).shape[1]

        class Surrogate(Problem):  # type: ignore[misc]  # pymoo's way to state a problem
            def _evaluate(self, x: Floats, out: dict[str, Any], *_: Any, **__: Any) -> None:
                out["F"], out["G"] = -values(x), excess(x)

        rng = np.random.Generator(np.random.PCG64(seed))
        filling = low + (high - low) * rng.random((self.population - len(starts), len(low)))
        with drawing_from(rng):
            found = minimize(
                Surrogate(n_var=len(low), n_obj=n_objectives, n_ieq_constr=n_limits, xl=low, xu=high),
                self._algorithm(n_objectives, np.concatenate([starts, filling])),
                ("n_gen", self.generations),
                seed=seed,
                verbose=False,
            )
        return np.atleast_2d(np.asarray(found.X if found.X is not None else found.pop.get("X"), dtype=np.float64))

    def _algorithm(self, n_objectives: int, first: Floats) -> Any:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.algorithms.moo.nsga3 import NSGA3

        if n_objectives < 3:
            return NSGA2(pop_size=self.population, sampling=first, eliminate_duplicates=False)
        directions = reference_directions({}, n_objectives=n_objectives, population=self.population)
        return NSGA3(directions, pop_size=self.population, sampling=first, eliminate_duplicates=False)
