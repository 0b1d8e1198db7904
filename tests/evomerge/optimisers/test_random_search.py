"""Random search keeps the optimiser contract and is uniform."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from scipy import stats

from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.random_search import RandomSearch
from evomerge.testing.optimiser_contract import OptimiserContract


class TestRandomSearch(OptimiserContract):
    factory = "evomerge.optimisers.random_search:RandomSearch"
    arguments: ClassVar = {"dim": 3, "seed": 0}
    generational = False


def test_it_never_waits_for_outcomes() -> None:
    optimiser = RandomSearch(2, seed=0)
    assert [len(optimiser.ask(n)) for n in (5, 100, 3)] == [5, 100, 3]


def test_every_gene_is_uniform() -> None:
    genomes = np.array(RandomSearch(2, seed=0).ask(5000))
    assert min(stats.kstest(genomes[:, gene], "uniform").pvalue for gene in range(2)) > 0.01


def test_no_genes_is_an_error() -> None:
    with pytest.raises(OptimiserError, match="dim: expected at least 1 gene to search, found 0"):
        RandomSearch(0, seed=0)
