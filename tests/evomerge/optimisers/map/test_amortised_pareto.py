"""MAP keeps the optimiser contract, finds known fronts with few evaluations, and respects constraints."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import moocore
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from evomerge.candidate import Evaluation
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.map.amortised_pareto import AmortisedPareto
from evomerge.optimisers.map.surrogates.predicted_front import FrontSearch, predict_front
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.pymoo.pymoo_adapter import PymooOptimiser
from evomerge.testing.optimiser_contract import Genome, OptimiserContract, evaluation, failure
from fitness.scores import Estimate, ObjectiveEstimate

Floats = NDArray[np.float64]
Truth = Callable[[Genome], Floats]
N_ITEMS = 400
LEFT, RIGHT = np.array([0.3, 0.2, 0.6]), np.array([0.7, 0.8, 0.4])


def quick_map(dim: int, **arguments: Any) -> AmortisedPareto:
    """Return MAP with a short search of the surrogates: what it promises does not depend on how well it searches."""
    return AmortisedPareto(dim, search=FrontSearch(population=12, generations=4), **arguments)


class TestAmortisedPareto(OptimiserContract):
    factory = "tests.evomerge.optimisers.map.test_amortised_pareto:quick_map"
    arguments: ClassVar = {"dim": 3, "n_objectives": 2, "seed": 0}


class TestAmortisedParetoWithOneGeneAndNoOverlap(OptimiserContract):
    factory = "tests.evomerge.optimisers.map.test_amortised_pareto:quick_map"
    arguments: ClassVar = {"dim": 1, "n_objectives": 2, "seed": 3, "initial": 7, "batch": 3, "overlap": False}


def two_tasks(genome: Genome) -> Floats:
    """Two isotropic concave quadratics through the logit link: the front lies between LEFT and RIGHT."""
    return np.array([expit(1.5 - 6 * np.sum((genome - at) ** 2)) for at in (LEFT, RIGHT)])


def search(
    optimiser: Optimiser[Genome],
    truth: Truth,
    n: int,
    *,
    fails: Callable[[Genome], bool] = lambda genome: False,
    violation: Callable[[Floats], float] = lambda values: 0.0,
    noisy: bool = True,
) -> tuple[list[Genome], list[Evaluation]]:
    """Return all genomes, and all evaluations with binomial noise of 400 items."""
    rng = np.random.default_rng(0)
    genomes: list[Genome] = []
    evaluations = []
    while len(genomes) < n:
        for genome in optimiser.ask(min(4, n - len(genomes))):
            number = len(genomes)
            genomes.append(genome)
            if fails(genome):
                optimiser.tell([failure(number, genome)])
                continue
            values = truth(genome)
            found = rng.binomial(N_ITEMS, values) / N_ITEMS if noisy else values
            estimates = tuple(
                ObjectiveEstimate(f"task{k}", float(v), float(np.sqrt(v * (1 - v) / N_ITEMS)), N_ITEMS)
                for k, v in enumerate(found)
            )
            told = replace(
                evaluation(number, genome), estimate=Estimate("search", estimates), violation=violation(values)
            )
            evaluations.append(told)
            optimiser.tell([told])
    return genomes, evaluations


def hypervolume(genomes: list[Genome], truth: Truth) -> float:
    """Return the hypervolume of the true values, above 0."""
    values = np.array([truth(genome) for genome in genomes])
    return float(moocore.hypervolume(values, ref=np.zeros(values.shape[1]), maximise=True))


def distances_to_the_segment(genomes: Floats) -> Floats:
    along = RIGHT - LEFT
    shares = np.clip((genomes - LEFT) @ along / (along @ along), 0, 1)
    return np.asarray(np.linalg.norm(genomes - LEFT - shares[:, None] * along, axis=1))


def test_the_front_of_two_isotropic_quadratics_is_the_segment_between_their_optima() -> None:
    genomes, evaluations = search(AmortisedPareto(3, n_objectives=2, seed=0), two_tasks, 32, noisy=False)
    predicted = predict_front(evaluations, seed=0)
    assert predicted is not None
    assert predicted.forms == ("diagonal", "diagonal")  # isotropic: no products of genes
    assert distances_to_the_segment(predicted.genomes).mean() < 0.03
    assert distances_to_the_segment(predicted.genomes).max() < 0.06  # NSGA-II's last steps
    assert distances_to_the_segment(np.array(genomes[20:])).mean() < 0.05
    ends = predicted.genomes[[0, -1]]
    assert ends == pytest.approx(np.array([LEFT, RIGHT]), abs=0.05)


@pytest.mark.parametrize("seed", [0, 1])
def test_it_needs_fewer_evaluations_than_nsga2(seed: int) -> None:
    found, _ = search(AmortisedPareto(3, n_objectives=2, seed=seed), two_tasks, 40)
    bred, _ = search(PymooOptimiser(3, n_objectives=2, seed=seed, starts=[[0.5] * 3]), two_tasks, 40)
    assert hypervolume(found, two_tasks) > 1.02 * hypervolume(bred, two_tasks)


def test_three_objectives_are_searched_with_nsga3() -> None:
    centres = 0.25 + 0.5 * np.eye(3)

    def truth(genome: Genome) -> Floats:
        return np.asarray(expit(1.5 - 6 * ((genome - centres) ** 2).sum(axis=1)))

    found, evaluations = search(AmortisedPareto(3, n_objectives=3, seed=0), truth, 40)
    drawn = [genome for genome in np.random.default_rng(0).random((40, 3))]
    assert hypervolume(found, truth) > 1.15 * hypervolume(drawn, truth)
    predicted = predict_front(evaluations, seed=0)
    assert predicted is not None
    assert len(predicted.genomes) > 10


def test_a_single_objective_is_maximised() -> None:
    genomes, _ = search(AmortisedPareto(3, n_objectives=1, seed=0), lambda genome: two_tasks(genome)[:1], 40)
    best = max(genomes[20:], key=lambda genome: float(two_tasks(genome)[0]))
    assert np.linalg.norm(best - LEFT) < 0.1


def test_where_merges_fail_it_does_not_return() -> None:
    genomes, _ = search(
        AmortisedPareto(3, n_objectives=2, seed=0), two_tasks, 44, fails=lambda genome: bool(genome[0] > 0.55)
    )
    assert np.mean([genome[0] > 0.55 for genome in genomes[:20]]) > 0.3
    assert np.mean([genome[0] > 0.55 for genome in genomes[-16:]]) < 0.2


def test_constraints_come_first() -> None:
    """Task 1 must reach 0.6, which only holds near RIGHT."""
    genomes, _ = search(
        AmortisedPareto(3, n_objectives=2, seed=0), two_tasks, 52, violation=lambda values: max(0.0, 0.6 - values[1])
    )
    kept = [two_tasks(genome)[1] >= 0.6 for genome in genomes]
    assert np.mean(kept[:20]) < 0.3
    assert np.mean(kept[-20:]) > 0.6


def test_where_nothing_keeps_the_constraints_the_violation_shrinks() -> None:
    genomes, _ = search(
        AmortisedPareto(3, n_objectives=2, seed=0), two_tasks, 40, violation=lambda values: 1.0 - values[0]
    )
    missed = [1.0 - two_tasks(genome)[0] for genome in genomes]
    assert min(missed[20:]) < min(missed[:20])


def test_many_genes_get_a_simpler_surrogate_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def truth(genome: Genome) -> Floats:
        return np.asarray(expit([genome.mean(), 1 - genome.mean()]))

    quick = FrontSearch(population=12, generations=4)
    search(AmortisedPareto(30, n_objectives=2, seed=0, initial=40, search=quick), truth, 44)
    assert "surrogates of 40 evaluations: task0 linear (31 unknowns, leave-one-out" in caplog.text


def test_the_design_begins_with_the_starts_and_each_gene_alone() -> None:
    genomes = AmortisedPareto(3, n_objectives=2, seed=0, starts=[[0.2, 0.3, 0.4]]).ask(20)
    assert np.array(genomes[:4]).tolist() == [[0.2, 0.3, 0.4], *np.eye(3).tolist()]
    filling = np.array(genomes[4:])
    assert all(np.histogram(column, bins=4, range=(0, 1))[0].min() == 4 for column in filling.T)


def test_no_worker_waits_for_the_last_outcome_of_a_round() -> None:
    optimiser = AmortisedPareto(2, n_objectives=2, seed=0, initial=5, batch=3)
    design = optimiser.ask(9)
    optimiser.tell([evaluation(i, genome) for i, genome in enumerate(design)])
    first, second = optimiser.ask(3), optimiser.ask(3)
    assert (len(design), len(first), len(second)) == (5, 3, 3)
    assert optimiser.ask(1) == []
    optimiser.tell([evaluation(5 + i, genome) for i, genome in enumerate(first)])
    assert len(optimiser.ask(9)) == 3  # although none of the second round has arrived


def test_a_start_outside_the_cube_is_refused() -> None:
    with pytest.raises(OptimiserError, match=r"starts: expected genomes of 2 numbers in \[0, 1\]"):
        AmortisedPareto(dim=2, n_objectives=2, seed=0, starts=[[0.5, 1.5]])
