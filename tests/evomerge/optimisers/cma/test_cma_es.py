"""CMA-ES keeps the optimiser contract, is pycma's own search, and optimises."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import cma
import numpy as np
import pytest
from pydantic import ValidationError

from evomerge.kinds import OptionsError
from evomerge.optimisers.cma.cma_es import CmaEsSearch
from evomerge.optimisers.cma.options import OWNED_OPTIONS, CmaEs
from evomerge.optimisers.errors import OptimiserError
from evomerge.seeds import stream
from evomerge.testing.optimiser_contract import Genome, OptimiserContract, evaluation, failure

WEIGHTS = {"left": 1.0, "right": 1.0}


class CmaEsContract(OptimiserContract):
    factory = "evomerge.optimisers.cma.cma_es:CmaEsSearch"


class TestCmaEs(CmaEsContract):
    arguments: ClassVar = {"dim": 5, "seed": 0, "weights": WEIGHTS, "population": 8}


class TestCmaEsWithOneGeneMirrorsAndRestarts(CmaEsContract):
    """Fewer than six genomes make pycma mirror some of them; a large tolfun makes it restart all the time."""

    arguments: ClassVar = {
        "dim": 1,
        "seed": 0,
        "weights": WEIGHTS,
        "population": 4,
        "incpopsize": 2,
        "options": {"tolfun": 1e-2},
    }


class TestSepCmaEs(CmaEsContract):
    arguments: ClassVar = {"dim": 5, "seed": 0, "weights": WEIGHTS, "population": 8, "sep": True}


class TestLqCmaEs(CmaEsContract):
    arguments: ClassVar = {"dim": 2, "seed": 0, "weights": WEIGHTS, "population": 8, "lq": True}


class TestBipopCmaEsThatRestartsAllTheTime(CmaEsContract):
    arguments: ClassVar = {
        "dim": 2,
        "seed": 0,
        "weights": WEIGHTS,
        "population": 4,
        "restarts": "bipop",
        "options": {"tolfun": 1e-2},
    }


def search(optimiser: CmaEsSearch, value: Callable[[Genome], float], n: int) -> tuple[list[Genome], list[float]]:
    """Return all genomes and their values of objective `a`; a value that is NaN is told as a failure."""
    genomes: list[Genome] = []
    values: list[float] = []
    while len(genomes) < n:
        first = len(genomes)
        generation = optimiser.ask(1000)
        genomes += generation
        values += [value(genome) for genome in generation]
        optimiser.tell(
            [
                failure(i, genomes[i]) if math.isnan(values[i]) else evaluation(i, genomes[i], a=values[i])
                for i in range(first, len(genomes))
            ]
        )
    return genomes, values


def ellipsoid(genome: Genome) -> float:
    """Condition number 1e4, optimum 0 inside the cube."""
    return -float(np.sum(10.0 ** np.linspace(0, 4, len(genome)) * (genome - 0.3) ** 2))


def test_it_solves_an_ellipsoid_to_1e_6() -> None:
    for seed in range(3):
        _, values = search(CmaEsSearch(5, weights={"a": 1.0}, seed=seed), ellipsoid, 1500)
        assert max(values) > -1e-6


def test_it_finds_an_optimum_in_a_corner_of_the_cube() -> None:
    genomes, values = search(CmaEsSearch(4, weights={"a": 1.0}, seed=0), lambda g: float(g.sum()), 1500)
    assert max(values) > 4 - 1e-4
    assert np.max(genomes) <= 1


def test_it_finds_an_optimum_next_to_failures() -> None:
    """More than half of the first samples fail; the optimum lies on the border of what works."""
    _, values = search(
        CmaEsSearch(3, weights={"a": 1.0}, seed=0), lambda g: math.nan if g[0] > 0.45 else float(g[0] - g[1]), 1500
    )
    assert np.nanmax(values) > 0.45 - 1e-3


def test_it_is_pycmas_own_search() -> None:
    rng = stream(3, "cma_es", "0")
    options = {"bounds": [0, 1], "popsize": 10, "randn": lambda *s: rng.standard_normal(s), "seed": math.nan}
    strategy = cma.CMAEvolutionStrategy([0.5] * 4, 0.2, {**options, "verbose": -10, "verb_log": 0})
    expected: list[Genome] = []
    for _ in range(15):
        generation = strategy.ask()
        strategy.tell(generation, [-ellipsoid(genome) for genome in generation])
        expected += generation
    optimiser = CmaEsSearch(4, weights={"a": 2.0}, seed=3, population=10, sigma0=0.2)
    genomes, _ = search(optimiser, ellipsoid, 150)
    assert np.array_equal(genomes, expected)


def test_the_weighted_mean_of_the_objectives_is_maximised() -> None:
    def best(weights: dict[str, float]) -> float:
        optimiser, told = CmaEsSearch(1, weights=weights, seed=0), 0
        for _ in range(40):
            genomes = optimiser.ask(100)
            optimiser.tell([evaluation(told + i, g) for i, g in enumerate(genomes)])
            told += len(genomes)
        return float(np.mean(genomes))

    # Of the two spheres around 0.3 and 0.7, the weighted mean's optimum is the weighted mean of the centres.
    assert best({"left": 1.0, "right": 0.0}) == pytest.approx(0.3, abs=0.01)
    assert best({"left": 1.0, "right": 3.0}) == pytest.approx(0.6, abs=0.01)


def half_failing(offset: float, genome: Genome) -> float:
    return math.nan if genome[0] > 0.5 else offset - float((genome[0] - 0.2) ** 2)


def test_failures_rank_below_every_evaluation_whatever_its_sign() -> None:
    """Among huge losses a failure told as 0 would look best and draw the search to where everything fails."""
    for offset in (-1e6, 0.0, 1e6):
        _, values = search(
            CmaEsSearch(2, weights={"a": 1.0}, seed=1, population=10),
            partial(half_failing, offset),
            400,
        )
        assert sum(map(math.isnan, values[-50:])) < 5


def test_a_converged_search_restarts_elsewhere_with_a_larger_population() -> None:
    optimiser = CmaEsSearch(2, weights={"a": 1.0}, seed=0, population=6, incpopsize=2)
    sizes, told = [], 0
    for _ in range(250):
        genomes = optimiser.ask(1000)
        sizes.append(len(genomes))
        optimiser.tell([evaluation(told + i, g, a=ellipsoid(g)) for i, g in enumerate(genomes)])
        told += len(genomes)
    assert sorted(set(sizes))[:3] == [6, 12, 24]
    assert sizes == sorted(sizes)


def test_a_flat_fitness_restarts() -> None:
    genomes, _ = search(CmaEsSearch(2, weights={"a": 1.0}, seed=0, population=8), lambda g: 0.25, 400)
    centres = np.array(genomes).reshape(-1, 8, 2).mean(axis=1)
    assert np.ptp(centres, axis=0).min() > 0.5  # one search, started at 0.5 with sigma 1/6, stays closer


def of_60(genome: Genome) -> float:
    """Right answers of 60: ties near the optimum, 0.8 around 0.6."""
    return round(60 * 0.8 * math.exp(-12 * float(np.sum((genome - 0.6) ** 2)))) / 60


def generations(optimiser: CmaEsSearch, until: Callable[[list[list[Genome]]], bool]) -> list[list[Genome]]:
    """Return the generations of a search of `of_60`."""
    found: list[list[Genome]] = []
    n = 0
    while not until(found):
        new = optimiser.ask(1000)
        optimiser.tell([evaluation(n + i, g, a=of_60(g)) for i, g in enumerate(new)])
        found.append(new)
        n += len(new)
    return found


def test_where_scores_tie_it_goes_on_at_its_mean_with_finer_steps_and_more_genomes() -> None:
    for seed in range(3):
        found = generations(CmaEsSearch(4, weights={"a": 1.0}, seed=seed), lambda f: bool(f) and len(f[-1]) != 8)
        assert len(found[-1]) == 16
        assert np.ptp([of_60(genome) for genome in found[-2]]) <= 2 / 60
        assert np.mean(found[-1], axis=0) == pytest.approx(np.mean(found[-2], axis=0), abs=0.1)
        assert 0.04 < np.std(found[-1], axis=0).mean() < 0.12  # begun with 1/12


def test_it_goes_elsewhere_where_a_run_that_ties_found_no_better_score() -> None:
    genomes, values = search(CmaEsSearch(4, weights={"a": 1.0}, seed=0), of_60, 3000)
    assert max(values) == 0.8
    assert np.ptp(np.array(genomes)[values.index(0.8) :], axis=0).min() > 0.8


@pytest.mark.parametrize("options", [{"goes_on_at_ties": False}, {"restarts": "ipop"}, {"restarts": "bipop"}])
def test_ipop_and_bipop_and_searches_of_an_older_evomerge_start_at_random_where_scores_tie(
    options: dict[str, Any],
) -> None:
    optimiser = CmaEsSearch(4, weights={"a": 1.0}, seed=0, **options)
    found = generations(optimiser, lambda f: len(f) > 2 and optimiser._n_runs == 3)
    start = stream(0, "cma_es", "1").random(4)  # where its second run begins, by its own stream
    assert min(np.abs(np.mean(generation, axis=0) - start).max() for generation in found) < 0.2
    assert np.abs(start - 0.6).max() > 0.3


def test_ties_are_broken_alike_in_any_order_of_outcomes() -> None:
    def genomes(order: Callable[[int], Any]) -> list[Genome]:
        optimiser, found = CmaEsSearch(3, weights={"a": 1.0}, seed=0), []
        while len(found) < 400:
            new = optimiser.ask(1000)
            outcomes = [evaluation(len(found) + i, g, a=of_60(g)) for i, g in enumerate(new)]
            for i in order(len(new)):
                optimiser.tell([outcomes[i]])
            found += new
        return found

    assert np.array_equal(genomes(range), genomes(lambda n: reversed(range(n))))


def test_where_everything_fails_it_searches_elsewhere() -> None:
    genomes, _ = search(CmaEsSearch(2, weights={"a": 1.0}, seed=0, population=8, sigma0=0.01), lambda g: math.nan, 400)
    assert np.ptp(np.array(genomes), axis=0).min() > 0.5


def test_it_writes_no_files_and_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    search(CmaEsSearch(2, weights={"a": 1.0}, seed=0), ellipsoid, 600)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_in_300_genes_numpys_global_generator_is_not_disturbed() -> None:
    legacy = np.random.mtrand._rand
    legacy.seed(1)
    search(CmaEsSearch(300, weights={"a": 1.0}, seed=0, population=4), ellipsoid, 40)
    assert legacy.random() == np.random.RandomState(1).random()


def test_pycmas_options_reach_it() -> None:
    plain, _ = search(CmaEsSearch(3, weights={"a": 1.0}, seed=0), ellipsoid, 60)
    passive, _ = search(CmaEsSearch(3, weights={"a": 1.0}, seed=0, options={"CMA_active": False}), ellipsoid, 60)
    assert not np.array_equal(plain, passive)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolfunn": 1e-3}, "tolfunn: expected an option of pycma; did you mean 'tolfun'"),
        ({"sigma": 1}, "sigma: expected an option of pycma; did you mean 'sigma0'"),
        ({"qqqq": 1}, "qqqq: expected an option of pycma; `cma.CMAOptions"),
        ({"popsize": 5}, "popsize: .*write population"),
        ({"timeout": 5}, "timeout: .*use `budget`"),
        ({"verb_log": 5}, "verb_log: .*evomerge logs by itself"),
        ({"CMA_diagonal": True}, "CMA_diagonal: .*use `sep: true`"),
        ({"tolx": "__import__('os').system('true')"}, "tolx: expected a number, a boolean or a list"),
        ({"CMA_mirrors": 0.9, "tolx": None}, "tolx: expected a number"),
    ],
)
def test_wrong_options_of_the_library_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        CmaEs(**options).check()
    (problem,) = caught.value.errors()
    hint = problem["ctx"].get("hint") if "ctx" in problem else ""
    expected = problem["msg"].partition(", found")[0]
    assert re.search(message, f"{problem['loc'][0]}: {expected}; {hint}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 1}, "population: expected a number of at least 2, found 1"),
        ({"sigma0": 0.0}, "sigma0: expected a number above 0"),
        ({"restarts": "sometimes"}, "restarts: expected one of same, ipop, bipop"),
        ({"sep": 1}, "sep: expected true or false"),
        ({"incpopsize": 0}, "incpopsize: expected a number of at least 1"),
    ],
)
def test_wrong_options_of_ours_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        CmaEs(**options)


def test_every_option_evomerge_owns_is_one_of_pycmas_or_its_fmin() -> None:
    assert set(OWNED_OPTIONS) - set(cma.CMAOptions.defaults()) == {"noise_handling", "pop_size"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim: expected at least 1 gene to search, found 0"),
        ({"weights": {"a": -1.0}}, "weights: expected numbers of at least 0"),
        ({"weights": {}}, "weights: expected numbers of at least 0, one of them positive"),
        ({"x0": 1.5}, r"x0: expected one number or 2 numbers in \[0, 1\], found 1.5"),
        ({"x0": [0.5]}, "x0: expected one number or 2 numbers"),
        ({"options": {"CMA_stds": [1.0, 2.0, 3.0]}}, "options: expected values that pycma accepts"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptimiserError, match=message):
        CmaEsSearch(**{"dim": 2, "weights": {"a": 1.0}, "seed": 0, **arguments})


@pytest.mark.parametrize("objectives", [{"b": 1.0}, {"a": math.nan}, {"a": math.inf}])
def test_an_evaluation_without_a_finite_value_is_an_error_and_changes_nothing(objectives: dict[str, float]) -> None:
    optimiser = CmaEsSearch(2, weights={"a": 1.0}, seed=0)
    (genome,) = optimiser.ask(1)
    with pytest.raises(OptimiserError, match="a: expected a finite value for candidate 0"):
        optimiser.tell([evaluation(0, genome, **objectives)])
    optimiser.tell([evaluation(0, genome, a=1.0)])


def test_a_search_can_start_at_a_given_point() -> None:
    generation = CmaEsSearch(2, weights={"a": 1.0}, seed=0, population=50, x0=[0.2, 0.7], sigma0=0.01).ask(50)
    assert np.mean(generation, axis=0) == pytest.approx([0.2, 0.7], abs=0.01)


def test_infeasible_genomes_rank_behind_feasible_ones_by_their_violation() -> None:
    """The objective grows with the first gene, of which at most 0.4 is feasible; the search starts outside."""
    optimiser = CmaEsSearch(2, weights={"a": 1.0}, seed=0, population=8, x0=0.9)
    genomes: list[Genome] = []
    for _ in range(60):
        new = optimiser.ask(100)
        optimiser.tell(
            [
                replace(evaluation(len(genomes) + i, g, a=100 * float(g[0])), violation=max(0.0, float(g[0]) - 0.4))
                for i, g in enumerate(new)
            ]
        )
        genomes += new
    feasible = [g[0] for g in genomes if g[0] <= 0.4]
    assert max(feasible) > 0.399


def test_with_sep_only_variances_are_learnt() -> None:
    """On a rotated ellipsoid covariances help; on one along the axes sep-CMA-ES is the faster one."""
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0]

    def best(sep: bool, rotated: bool) -> float:
        def value(genome: Genome) -> float:
            z = rotation @ (genome - 0.5) if rotated else genome - 0.5
            return -float(np.sum(10.0 ** np.linspace(0, 4, 8) * (z - 0.05) ** 2))

        return max(max(search(CmaEsSearch(8, weights={"a": 1.0}, seed=s, sep=sep), value, 1500)[1]) for s in range(2))

    assert best(sep=True, rotated=False) > best(sep=False, rotated=False)
    assert best(sep=False, rotated=True) > best(sep=True, rotated=True)


def test_lq_needs_a_fraction_of_the_evaluations() -> None:
    for seed in range(2):
        _, plain = search(CmaEsSearch(4, weights={"a": 1.0}, seed=seed), ellipsoid, 400)
        _, spared = search(CmaEsSearch(4, weights={"a": 1.0}, seed=seed, lq=True), ellipsoid, 100)
        assert max(plain) < -1e-6 < max(spared)


def test_lq_is_pycmas_own_surrogate() -> None:
    from cma.fitness_models import SurrogatePopulation

    rng = stream(3, "cma_es", "0")
    options = {"bounds": [0, 1], "popsize": 10, "randn": lambda *s: rng.standard_normal(s), "seed": math.nan}
    strategy = cma.CMAEvolutionStrategy([0.5] * 4, 0.2, {**options, "verbose": -10, "verb_log": 0})
    expected: list[Genome] = []

    def loss(genome: Genome) -> float:
        expected.append(genome)
        return -ellipsoid(genome)

    surrogate = SurrogatePopulation(loss)
    for _ in range(15):
        generation = strategy.ask()
        strategy.tell(generation, surrogate(generation))
        strategy.inject([np.clip(surrogate.model.xopt, 0, 1)])
    genomes, _ = search(CmaEsSearch(4, weights={"a": 1.0}, seed=3, population=10, sigma0=0.2, lq=True), ellipsoid, 20)
    assert len(expected) < 120
    assert np.array_equal(genomes, expected[: len(genomes)])
