"""M2N2 over tiny individuals, as the optimiser contract makes it from JSON, and scores that are a formula of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from evomerge.optimisers.niches.m2n2 import M2N2Search
from evomerge.optimisers.niches.niches import Competition
from search_spaces.recipes.flat_layout import FlatLayout
from search_spaces.spaces.niches.stored_crossover import StoredCrossover
from tests.evomerge.toy_niches import toy_crossover


def stored(*, dim: int, seed: int, population: int, mutation: float = 0.0, **competition: Any) -> M2N2Search[Any]:
    """Individuals are float32 vectors of `dim` parameters."""
    seeds = tuple(np.random.default_rng(1).random((2, dim), dtype=np.float32))
    crossing = StoredCrossover(seeds, FlatLayout(("w",), (dim,)), mutation=mutation)
    return M2N2Search(crossing, seed=seed, population=population, competition=Competition(**competition))


def genealogies(*, dim: int, seed: int, population: int) -> M2N2Search[Any]:
    """Individuals are combinations of two parents of `dim` parameters."""
    assert dim == 100
    return M2N2Search(toy_crossover(), seed=seed, population=population)
