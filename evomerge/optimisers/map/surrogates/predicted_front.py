"""The front that the surrogates predict, inside the hull of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evomerge.candidate import Evaluation
from evomerge.optimisers.map.surrogates.objectives import Measured, ObjectiveSurrogates, fit_objectives, measured
from evomerge.optimisers.pymoo.pymoo_randomness import drawing_from
from evomerge.optimisers.pymoo.reference_directions import reference_directions
from evomerge.pareto import front
from evomerge.seeds import stream_seed
from evomerge.typing import Floats

FEWEST = 3  # evaluations that make a fit
Function = Callable[[Floats], Floats]


@dataclass(frozen=True)
class FrontSearch:
    """Finds the front of a cheap function over a box, by NSGA-II or, from three objectives on, NSGA-III."""

    population: int = 60  # at least 4
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


@dataclass(frozen=True, eq=False)
class PredictedFront:
    """A front that nobody has scored yet, with predictive intervals of the true values."""

    genomes: Floats  # (k, dim)
    values: Floats  # (k, m), higher is better; best first objective first
    low: Floats  # (k, m) ends of 95 % intervals
    high: Floats  # (k, m) ends of 95 % intervals
    forms: tuple[str, ...]  # each objective's form of surrogate (linear, diagonal, full)
    r2: tuple[float, ...]  # each objective's share of variance that leave-one-out predictions explain


def predict_front(evaluations: Sequence[Evaluation], *, seed: int) -> PredictedFront | None:
    """Return the front that surrogates of some evaluations, in any order, predict; None for fewer than three."""
    if len(evaluations) < FEWEST:
        return None
    known = measured(sorted(evaluations, key=lambda evaluation: evaluation.candidate.number))
    surrogates = fit_objectives(known)
    search = FrontSearch(population=100, generations=80)
    genomes = search_front(known, surrogates, search, seed=stream_seed(seed, "map", "report"))
    values = surrogates.values(genomes)
    order = np.argsort(-values[:, 0], kind="stable")
    ends = [surrogate.interval(genomes[order]) for surrogate in surrogates.objectives]
    return PredictedFront(
        genomes[order],
        values[order],
        np.stack([low for low, _ in ends], axis=1),
        np.stack([high for _, high in ends], axis=1),
        tuple(surrogate.form for surrogate in surrogates.objectives),
        tuple(surrogate.r2 for surrogate in surrogates.objectives),
    )


def search_front(
    known: Measured,
    surrogates: ObjectiveSurrogates,
    search: FrontSearch,
    *,
    seed: int,
    deviations: float = 0.0,
    earlier: Floats | None = None,
) -> Floats:
    """Return (k, dim) genomes of the predicted front, each value shifted by a number of standard deviations.

    A genome lies in the hull when every gene lies within the measured ones (a box) and its leverage, for every
    objective, is at most the largest of a measured genome: beyond that a regression extrapolates although no single
    gene does (Montgomery, Peck and Vining, "Introduction to Linear Regression Analysis", hidden extrapolation).
    The search begins with the best of the measured genomes and of an earlier front's, (n_earlier, dim).
    """
    largest = [float(s.leverage(known.genomes).max()) for s in surrogates.objectives]

    def excess(genomes: Floats) -> Floats:
        pairs = zip(surrogates.objectives, largest, strict=True)
        beyond = [s.leverage(genomes) / max(most, 1e-300) - 1.0 - 1e-9 for s, most in pairs]
        return np.stack([*beyond, surrogates.excess(genomes)], axis=1)

    starts = known.genomes if earlier is None else np.concatenate([known.genomes, earlier])
    efficient = front(surrogates.values(starts, deviations))
    return search.run(
        lambda genomes: surrogates.values(genomes, deviations),
        excess,
        box=(known.genomes.min(axis=0), known.genomes.max(axis=0)),
        starts=starts[efficient],
        seed=seed,
    )
