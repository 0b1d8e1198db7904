"""Coarse to fine keeps the contract of optimisers, and goes on where a level ended."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from evomerge.kinds import OptionsError
from evomerge.optimisers import M2N2, CmaEs, CoarseToFine, OptimiserOptions, Problem, Pymoo, Random
from evomerge.optimisers.cma.cma_es import CmaEsSearch
from evomerge.optimisers.coarse_to_fine.coarse_to_fine import CoarseToFine as Search
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.problem import Spread
from evomerge.testing.optimiser_contract import OptimiserContract, drive, outcomes_of
from search_spaces.recipes.groups import Groups
from search_spaces.spaces.weight_space import WeightSpace
from tests.evomerge.toy import PARENTS

PER_PARENT = len(PARENTS) - 1


def space(blocks: int = 3, modules: tuple[str, ...] = ("attention", "mlp")) -> WeightSpace:
    return WeightSpace(
        PARENTS,
        next(iter(PARENTS)),
        n_layers=6,
        operators=["task_arithmetic"],
        groups=Groups(blocks, modules),
        genes={"weight": (0.0, 1.5)},
    )


def search(*, dim: int, seed: int, kind: str = "cma_es", evaluations: int = 200, **problem: Any) -> Search:
    own: OptimiserOptions = {"cma_es": CmaEs(), "nsga2": Pymoo("nsga2", population=8), "random": Random()}[kind]
    assert dim == space().dim
    built = CoarseToFine(search=own).build(Problem(space(), seed, {"left": 1.0, "right": 1.0}, evaluations, **problem))
    assert isinstance(built, Search)
    return built


class TestCoarseToFineCmaEs(OptimiserContract):
    factory = "tests.evomerge.optimisers.test_coarse_to_fine:search"
    arguments: ClassVar = {"dim": 6 * PER_PARENT, "seed": 0}


class TestCoarseToFineNsga2(OptimiserContract):
    factory = "tests.evomerge.optimisers.test_coarse_to_fine:search"
    arguments: ClassVar = {"dim": 6 * PER_PARENT, "seed": 0, "kind": "nsga2"}


def n_values(genome: np.ndarray) -> int:
    return len(np.unique(genome))


def test_the_first_genomes_have_one_value_for_each_parent_and_the_last_ones_are_free() -> None:
    genomes = drive(search(dim=6 * PER_PARENT, seed=1), 160)
    counts = [n_values(genome) for genome in genomes]
    assert counts[0] <= PER_PARENT
    assert max(counts) > 3 * PER_PARENT
    # Levels only grow finer: a tie that was cut never comes back for a whole generation.
    first = {n: min(i for i, count in enumerate(counts) if count > n) for n in (PER_PARENT, 3 * PER_PARENT)}
    assert 3 * PER_PARENT <= first[PER_PARENT] < first[3 * PER_PARENT]


def test_what_cannot_be_learnt_any_more_is_not_split() -> None:
    genomes = drive(search(dim=6 * PER_PARENT, seed=1, evaluations=15), 15)
    assert max(map(n_values, genomes)) <= PER_PARENT


def test_a_level_is_left_only_once_all_that_is_pending_is_told() -> None:
    one = search(dim=6 * PER_PARENT, seed=2, kind="random")
    genomes = one.ask(3 * PER_PARENT)
    one.tell(outcomes_of(genomes, first=0)[:-1])
    assert one.ask(1) == []
    one.tell(outcomes_of(genomes, first=0)[-1:])
    assert one.n_genes == PER_PARENT
    assert len(one.ask(1)) == 1
    assert one.n_genes == 3 * PER_PARENT


def test_the_first_level_can_express_the_best_point_to_begin_with() -> None:
    thirds = np.repeat(np.linspace(0.2, 0.8, 3), PER_PARENT)
    whole = np.concatenate([thirds, thirds])
    assert search(dim=6 * PER_PARENT, seed=0, given=(whole,)).n_genes == 3 * PER_PARENT
    assert search(dim=6 * PER_PARENT, seed=0, given=(np.linspace(0, 1, len(whole)),)).n_genes == len(whole)


def test_cma_es_goes_on_from_the_distribution_it_is_given() -> None:
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(4, 4))
    covariance = 1e-4 * (factor @ factor.T + 0.1 * np.eye(4))
    one = CmaEsSearch(4, weights={"left": 1.0}, seed=0, population=4000, spread=Spread(np.full(4, 0.4), covariance))
    found = one.spread
    np.testing.assert_allclose(found.mean, 0.4)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-6)
    drawn = np.array(one.ask(4000))
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.1 * covariance.max())


def test_the_next_level_begins_around_the_mean_of_the_one_before() -> None:
    one = search(dim=6 * PER_PARENT, seed=3)
    told = 0
    while one.n_genes == PER_PARENT:
        before = one.own
        genomes = one.ask(1)
        one.tell(outcomes_of(genomes, first=told))
        told += 1
    assert isinstance(before, CmaEsSearch)
    assert isinstance(one.own, CmaEsSearch)
    of_parents = one.own.spread.mean.reshape(3, PER_PARENT)
    np.testing.assert_allclose(of_parents, np.tile(before.spread.mean, (3, 1)), atol=0.25)


def test_a_space_without_groups_is_refused() -> None:
    options = CoarseToFine(search=CmaEs())
    with pytest.raises(OptimiserError, match="groups"):
        options.build(Problem(space(1, ("all",)), 0, {"left": 1.0}, 100))


def test_what_is_no_optimiser_of_genes_is_refused() -> None:
    with pytest.raises(OptionsError, match="search"):
        CoarseToFine(search=M2N2())
    with pytest.raises(OptionsError, match="warm_start beside search"):
        CoarseToFine(search=CmaEs(warm_start=("recipe.yml",)))
