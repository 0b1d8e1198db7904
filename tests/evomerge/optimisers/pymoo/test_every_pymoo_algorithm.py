"""Every algorithm of pymoo, by name: the contract, feasibility first, options, and what it is good for.

The whole contract of every algorithm is marked slow; a part of it, in one test, is not.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import random
from typing import Annotated, Any

import numpy as np
import pymoo.algorithms
import pytest
from pydantic import ValidationError
from pymoo.core.algorithm import Algorithm

from evomerge.kinds import OptionsError
from evomerge.optimisers import OptimiserError, Pymoo
from evomerge.optimisers.pymoo.algorithm import EXACT, Crossover, Directions, Mutation, options_of
from evomerge.optimisers.pymoo.pymoo_adapter import PymooOptimiser
from evomerge.optimisers.pymoo.pymoo_catalogue import ALGORITHMS
from evomerge.optimisers.pymoo.reference_directions import reference_directions
from evomerge.optimisers.random_search import RandomSearch
from evomerge.testing.optimiser_contract import Genome, OptimiserContract, drive, evaluation, infeasible

REQUIRED: dict[str, dict[str, Any]] = {
    "rnsga2": {"ref_points": [[0.9, 0.8], [0.7, 0.95]]},
    "rnsga3": {"ref_points": [[0.9, 0.8], [0.7, 0.95]]},
    "rvea": {"n_gen": 20},
}
# Class -> why it has no name here.
LEFT_OUT = {
    "AGEMOEA": "it is compiled by numba, which is no dependency of evomerge",
    "AGEMOEA2": "it is compiled by numba, which is no dependency of evomerge",
    "PINSGA2": "it asks a person between generations, on standard input",
    "AutomatedDM": "it answers for a person in PINSGA2",
    "DNSGA2": "it is for objectives that change over time, and scores genomes inside its own step",
    "KGB": "it is for objectives that change over time, and scores genomes inside its own step",
    "CMAES": "it wraps pycma, which `kind: cma_es` drives directly",
    "SimpleCMAES": "it wraps pycma, which `kind: cma_es` drives directly",
    "BIPOPCMAES": "it wraps pycma, which `kind: cma_es` drives directly with `restarts: bipop`",
    "Optuna": "it wraps another optimisation library, which is no dependency of evomerge",
    "BGA": "its genomes are bits",
    "RandomSearch": "`kind: random` is the same",
}
# SRES and ISRES rank infeasible genomes by chance, and C-TAEA breeds from an archive that asks for diversity alone.
BY_DESIGN = ("sres", "isres", "ctaea")


def arguments(name: str, dim: int = 3, seed: int = 0, **options: Any) -> dict[str, Any]:
    sized = {} if ALGORITHMS[name].population is None else {"population": 10}
    given = {**REQUIRED.get(name, {}), **options}
    return {"dim": dim, "n_objectives": 2, "seed": seed, "algorithm": name, "options": given, **sized}


def make(name: str, **changes: Any) -> PymooOptimiser:
    return PymooOptimiser(**arguments(name, **changes))


def draws_no_random_numbers(self: OptimiserContract) -> None:
    """DIRECT divides the cube, whatever the seed."""
    assert np.array_equal(drive(make("direct", seed=0), 50), drive(make("direct", seed=1), 50))


for _name in ALGORITHMS:
    _members: dict[str, Any] = {"factory": "evomerge.optimisers.pymoo.pymoo_adapter:PymooOptimiser"}
    _members["arguments"] = arguments(_name)
    if _name == "direct":
        _members["test_another_seed_gives_other_genomes"] = draws_no_random_numbers
        # Its first generation is one genome, the middle of the cube; two of these tests ask for more.
        _members["test_telling_a_proposal_twice_is_an_error_and_changes_nothing"] = None
    _class = type(f"Test_{_name}", (OptimiserContract,), _members)
    globals()[_class.__name__] = pytest.mark.slow(_class)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_proposals_depend_on_nothing_but_seed_and_outcomes(name: str) -> None:
    """Neither on the sizes of asks, nor on completion order, nor on global generators; failures included."""
    runs = []
    for number, ask in enumerate([(5,), (1, 7, 3)]):
        np.random.mtrand._rand.seed(number)
        random.seed(number)
        order = (lambda outcomes: outcomes) if number == 0 else (lambda outcomes: outcomes[::-1])
        runs.append(np.array(drive(make(name), 90, ask=ask, fail_every=4, order=order)))
        assert np.random.mtrand._rand.random() == np.random.RandomState(number).random()
    assert np.array_equal(*runs)
    assert runs[0].min() >= 0
    assert runs[0].max() <= 1
    assert len({genome.tobytes() for genome in runs[0]}) == 90


@pytest.mark.parametrize("name", ALGORITHMS)
def test_generations_that_fail_as_a_whole_and_one_gene_are_survived(name: str) -> None:
    assert len({g.tobytes() for g in drive(make(name), 60, fail_every=1)}) == 60
    assert len(drive(make(name, dim=1), 60, fail_every=3)) == 60


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name not in BY_DESIGN])
def test_feasible_genomes_come_first(name: str) -> None:
    """The objectives' optima lie where the first gene is small; only large ones are feasible."""
    optimiser, genomes, first = make(name), [], 0
    while len(genomes) < 300:
        new = list(optimiser.ask(1000))
        short = [max(0.0, 0.8 - float(g[0])) for g in new]
        optimiser.tell(
            [
                infeasible(first + i, g, s) if s else evaluation(first + i, g)
                for i, (g, s) in enumerate(zip(new, short, strict=True))
            ]
        )
        genomes += new
        first += len(new)
    late = np.array(genomes[-100:])[:, 0]
    assert np.median(late) > 0.7, np.median(late)


def sphere_gap(optimiser: PymooOptimiser | RandomSearch, n: int = 300) -> float:
    """Return how far the best of n genomes is from the optimum of a sphere."""
    told, best = 0, np.inf
    while told < n:
        genomes = optimiser.ask(24)
        values = [float(np.sum((g - 0.3) ** 2)) for g in genomes]
        optimiser.tell([evaluation(told + i, g, a=-v) for i, (g, v) in enumerate(zip(genomes, values, strict=True))])
        told += len(genomes)
        best = min(best, *values)
    return best


@pytest.mark.parametrize("name", [name for name, entry in ALGORITHMS.items() if entry.of_mean])
def test_it_finds_the_optimum_of_one_objective_better_than_chance(name: str) -> None:
    chance = np.median([sphere_gap(RandomSearch(4, seed=seed)) for seed in range(5)])
    gaps = [sphere_gap(PymooOptimiser(**{**arguments(name, dim=4, seed=s), "n_objectives": 1})) for s in range(3)]
    assert np.median(gaps) < chance / 3, (gaps, chance)


@pytest.mark.parametrize("name", [name for name, entry in ALGORITHMS.items() if not entry.of_mean])
def test_it_comes_closer_to_the_front_than_chance(name: str) -> None:
    def distance(genomes: list[Genome]) -> float:
        """The front is the diagonal between 0.3 and 0.7."""
        points = np.array(genomes)[-100:]
        nearest = np.clip(points.mean(axis=1), 0.3, 0.7)[:, None]
        return float(np.median(np.linalg.norm(points - nearest, axis=1)))

    chance = distance(drive(RandomSearch(4, seed=0), 400))
    found = [distance(drive(make(name, dim=4, seed=seed), 400)) for seed in range(2)]
    assert np.mean(found) < 0.7 * chance, (found, chance)


def test_every_algorithm_of_pymoo_is_in_the_catalogue_or_left_out_for_a_reason() -> None:
    classes = set(LEFT_OUT)
    for module in pkgutil.walk_packages(pymoo.algorithms.__path__, "pymoo.algorithms."):
        if ".base" in module.name or ".univariate" in module.name:  # parts of algorithms, and line searches
            continue
        try:
            members = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        except Exception:  # numba or optuna is missing
            assert module.name.rpartition(".")[2] in ("age", "age2", "optuna", "kgb")
            continue
        classes |= {name for name, c in members if issubclass(c, Algorithm) and c.__module__ == module.name}
    known = {entry.name for entry in ALGORITHMS.values()}
    assert not known & set(LEFT_OUT)
    assert classes == known | set(LEFT_OUT)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_option_of_a_signature_reaches_pymoo(name: str) -> None:
    special: dict[str, Any] = {"variant": None, "decomposition": "asf", "weights": [0.5, 0.5], "n_offsprings": 8}
    special |= {"normalization": "ever", "initial_velocity": "zero", "topology": "ring", "init_V": "zero"}
    special |= {"de_repair": "midway", "ref_points": [[0.9, 0.9]], "epsilon": 0.01, "max_velocity_rate": 0.3}
    by_type: dict[Any, Any] = {EXACT[bool]: True, EXACT[float]: 0.5, Crossover: {"eta": 5}, Mutation: {"eta": 5}}
    by_type[Directions] = {"n_partitions": 4}
    known = options_of(name).model_fields
    assert known or name in ("nelder_mead",)
    for option, field in known.items():
        kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        value = special.get(option, by_type.get(kind, 3 if field.annotation is int else 0.5))
        if value is not None:
            assert len(drive(make(name, **{option: value}), 40)) == 40, option


@pytest.mark.parametrize(
    ("name", "options", "way", "words"),
    [
        ("nsga2", {"crosover": {}}, "crosover", "did you mean 'crossover'"),
        ("nsga2", {"crossover": {"etta": 3}}, "crossover.etta", "did you mean 'eta'"),
        ("nsga2", {"zzz": 1}, "zzz", "one of crossover, mutation, n_offsprings, eliminate_duplicates"),
        ("nsga2", {"crossover": 15}, "crossover", "expected a mapping, found 15"),
        ("nsga2", {"mutation": {"eta": "high"}}, "mutation.eta", "expected a number, found 'high'"),
        ("nsga2", {"crossover": {"prob": 1.5}}, "crossover.prob", "expected a number of at most 1, found 1.5"),
        ("nsga2", {"n_offsprings": 0}, "n_offsprings", "expected a number of at least 1, found 0"),
        ("nsga2", {"n_offsprings": True}, "n_offsprings", "expected a whole number, found true"),
        ("nsga2", {"eliminate_duplicates": 1}, "eliminate_duplicates", "expected true or false, found 1"),
        ("nsga2", {"pop_size": 4}, "pop_size", "expected an option of pymoo, found 'pop_size'; write population"),
        ("nsga3", {"ref_dir": {}}, "ref_dir", "did you mean 'ref_dirs'"),
        ("nsga3", {"ref_dirs": {"n_points": 5, "method": "das-dennis"}}, "ref_dirs.n_points", "n_partitions with"),
        ("nsga3", {"ref_dirs": {"method": "uniform"}}, "ref_dirs.method", "expected one of das-dennis, energy, found"),
        ("nsga3", {"ref_dirs": 12}, "ref_dirs", "expected a mapping, found 12"),
        ("moead", {"decomposition": "chebyshev"}, "decomposition", "expected one of tchebicheff, pbi"),
        ("moead", {"n_neighbors": 0}, "n_neighbors", "expected a number of at least 1, found 0"),
        ("de", {"CR": "high"}, "CR", "expected a number, found 'high'"),
        ("pso", {"adaptive": 1}, "adaptive", "expected true or false, found 1"),
        ("gde3", {"variant": 3}, "variant", "expected text, found 3"),
        ("rvea", {}, "n_gen", "expected this key, found nothing"),
        ("rnsga2", {}, "ref_points", "expected this key, found nothing"),
    ],
)
def test_wrong_options_are_named(name: str, options: dict[str, Any], way: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Pymoo(name, **options).check()
    (problem,) = caught.value.errors()
    assert ".".join(map(str, problem["loc"])) == way
    assert words in f"{problem['msg']}; {problem['ctx']['hint']}"


def test_wrong_points_are_found_by_the_form_of_what_they_are() -> None:
    with pytest.raises(ValidationError, match="ref_points"):
        Pymoo("rnsga2", ref_points="knee").check()
    with pytest.raises(OptimiserError, match="ref_points: expected points of 2 objective values each"):
        make("rnsga2", ref_points=[[0.5]])


def test_what_pymoo_refuses_is_told() -> None:
    with pytest.raises(OptimiserError, match=r"options: expected values that pymoo accepts, found {'variant'"):
        make("de", variant="DE/best")


@pytest.mark.parametrize("name", [name for name, entry in ALGORITHMS.items() if entry.population is None])
def test_a_population_is_refused_where_there_is_none(name: str) -> None:
    with pytest.raises(OptionsError, match="expected no such key"):
        Pymoo(name, population=10)


@pytest.mark.parametrize(("n_objectives", "n"), [(2, 24), (3, 21), (4, 20), (5, 15)])
def test_reference_directions_suit_the_population(n_objectives: int, n: int) -> None:
    directions = reference_directions({}, n_objectives=n_objectives, population=24)
    assert directions.shape == (n, n_objectives)
    assert directions.sum(axis=1) == pytest.approx(1.0)


def test_reference_directions_can_be_chosen_and_need_two_objectives() -> None:
    assert len(reference_directions({"n_partitions": 12}, n_objectives=3, population=24)) == 91
    energy = reference_directions({"n_points": 7}, n_objectives=3, population=24)
    assert energy.shape == (7, 3)
    assert np.array_equal(energy, reference_directions({"n_points": 7}, n_objectives=3, population=24))
    with pytest.raises(OptimiserError, match="ref_dirs: expected at least 2 objectives, found 1"):
        PymooOptimiser(2, n_objectives=1, seed=0, algorithm="nsga3")


def test_the_weighted_mean_is_what_algorithms_for_one_objective_maximise() -> None:
    def best(weights: dict[str, float]) -> float:
        optimiser = PymooOptimiser(1, n_objectives=2, seed=0, algorithm="de", population=12, weights=weights)
        return float(np.median(drive(optimiser, 400)[-50:]))

    assert best({"left": 1.0, "right": 0.0}) == pytest.approx(0.3, abs=0.02)
    assert best({"left": 1.0, "right": 3.0}) == pytest.approx(0.6, abs=0.02)


def test_a_genome_is_never_proposed_twice_and_known_ones_are_told_again() -> None:
    """Around a converged simplex Nelder and Mead's points repeat; random ones take their place."""
    genomes = drive(make("nelder_mead", dim=1), 200)
    assert len({genome.tobytes() for genome in genomes}) == 200
