"""Niches over tiny individuals, as the optimiser contract makes it from JSON, and scores that are a formula of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from evomerge.optimisers.niches.gene_crossing import GeneCrossing, first_genomes
from evomerge.optimisers.niches.m2n2 import M2N2Search
from evomerge.optimisers.niches.niches import Competition
from search_spaces.recipes.flat_layout import FlatLayout
from search_spaces.spaces.niches.stored_crossover import StoredCrossover
from search_spaces.spaces.space import Structure
from tests.evomerge.toy_niches import toy_crossover


def stored(*, dim: int, seed: int, population: int, mutation: float = 0.0, **competition: Any) -> M2N2Search[Any]:
    """Individuals are float32 vectors of `dim` parameters."""
    seeds = tuple(np.random.default_rng(1).random((2, dim), dtype=np.float32))
    crossing = StoredCrossover(seeds, FlatLayout(("w",), (dim,)), mutation=mutation)
    return M2N2Search(crossing, seed=seed, population=population, competition=Competition(**competition))


def genes(*, dim: int, seed: int, population: int, choices: bool = False, designed: int = 1) -> M2N2Search[Any]:
    """Individuals are genomes of numbers, or of indicators, a choice of three and numbers under the indicators."""
    n = (dim - 1) // 2
    structure = Structure(dim, (), (0, 0), groups=tuple((gene,) for gene in range(dim)))
    if choices:
        under = {n + i: i for i in range(n)}
        structure = Structure(dim, tuple(range(n)), (1, n), {dim - 1: 3}, under, tuple((i, n + i) for i in range(n)))
    start = np.full(dim, 0.6)
    seeds = first_genomes(structure, [start], around=start, designed=designed, spread=0.5, seed=seed)
    return M2N2Search(GeneCrossing(structure, seeds, 0.05, 1.0), seed=seed, population=population)


def genealogies(*, dim: int, seed: int, population: int) -> M2N2Search[Any]:
    """Individuals are combinations of two parents of `dim` parameters."""
    assert dim == 100
    return M2N2Search(toy_crossover(), seed=seed, population=population)
