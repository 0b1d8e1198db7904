"""Bayesian optimisation with little work in each proposal, and toy problems for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Candidate, Evaluation, Outcome
from evomerge.optimisers.bayes.bayes_search import BayesSearch
from evomerge.optimisers.bayes.effort import Effort
from evomerge.optimisers.bayes.knowledge import Questions
from evomerge.testing.optimiser_contract import RECIPE
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate
from search_spaces.spaces.space import Structure

Floats = NDArray[np.float64]
QUICK = Effort(draws=16, pool=48, improved=2, steps=6)
LEAST = Effort(draws=4, pool=8, improved=1, steps=0)
TWO = {"left": 1.0, "right": 1.0}


def numbers(dim: int) -> Structure:
    return Structure(dim, (), (0, 0))


def plain(
    dim: int, seed: int, *, weights: dict[str, float] | None = None, effort: Effort = QUICK, **options: Any
) -> BayesSearch:
    """Return a search that knows nothing but the values of objectives."""
    structure = options.pop("structure", numbers(dim))
    questions = options.pop("questions", Questions(TWO if weights is None else weights, {}, {}))
    return BayesSearch(structure, questions, seed=seed, initial=options.pop("initial", 5), effort=effort, **options)


def least(dim: int, seed: int, weights: dict[str, float] | None = None) -> BayesSearch:
    """Return the quickest search there is."""
    return plain(dim, seed, effort=LEAST, weights=weights)


def scored(number: int, genome: Floats, values: dict[str, float], violation: float = 0.0) -> Evaluation:
    """Return an evaluation whose objectives are known."""
    objectives = tuple(ObjectiveEstimate(name, value, 0.0, 1) for name, value in values.items())
    candidate = Candidate(number, RECIPE, None, number, genome)
    items = ItemScores(tuple(values), np.array([*values.values()]))
    return Evaluation(candidate, Estimate("search", objectives), items, violation)


def search(optimiser: BayesSearch, n: int, outcome: Callable[[int, Floats], Outcome], at_once: int = 1) -> list[Floats]:
    """Return n genomes, so many of which are always pending together."""
    genomes: list[Floats] = []
    while len(genomes) < n:
        new: Sequence[Floats] = optimiser.ask(min(at_once, n - len(genomes)))
        optimiser.tell([outcome(len(genomes) + i, genome) for i, genome in enumerate(new)])
        genomes.extend(new)
    return genomes
