"""The front that the surrogates predict, inside the hull of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evomerge.candidate import Evaluation
from evomerge.optimisers.map.surrogates.front_search import FrontSearch
from evomerge.optimisers.map.surrogates.objectives import Measured, ObjectiveSurrogates, fit_objectives, measured
from evomerge.pareto import front
from evomerge.seeds import stream_seed
from evomerge.typing import Floats

FEWEST = 3  # evaluations that make a fit


@dataclass(frozen=True, eq=False)
class PredictedFront:
    """A front that nobody has scored yet, with predictive intervals of the true values.

    Attributes:
        genomes: (k, dim).
        values: (k, m), higher is better; best first objective first.
        low, high: (k, m) ends of 95 % intervals.
        forms: each objective's form of surrogate (linear, diagonal, full).
        r2: each objective's share of variance that leave-one-out predictions explain.
    """

    genomes: Floats
    values: Floats
    low: Floats
    high: Floats
    forms: tuple[str, ...]
    r2: tuple[float, ...]


def predict_front(evaluations: Sequence[Evaluation], *, seed: int) -> PredictedFront | None:
    """Return the front that surrogates of some evaluations predict; None for fewer than three evaluations.

    Nothing is stored by a search for it: its evaluations, in any order, are all that is needed.
    """
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
