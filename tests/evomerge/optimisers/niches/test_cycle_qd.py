"""CycleQD keeps the optimiser contract, its archives hold the best of each cell, and quality goes round."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from evomerge.candidate import Evaluation
from evomerge.optimisers import CycleQd, Problem
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.niches.cycle_qd import CycleQD, _shares
from evomerge.testing.optimiser_contract import Make, OptimiserContract, build, drive, equal, evaluation, failure
from search_spaces.spaces.niches.rank_scaled import FAINT, RankScaled
from tests.evomerge.toy import ToySpace


def make(*, dim: int, seed: int, **options: Any) -> CycleQD:
    return CycleQD(dim, n_objectives=2, seed=seed, **options)


class TestCycleQD(OptimiserContract):
    factory = f"{__name__}:make"
    arguments: ClassVar = {"dim": 3, "seed": 0, "children": 6}

    def test_genomes_are_float64_vectors_in_the_unit_cube(self, make: Make) -> None:
        """They are individuals."""
        assert all(isinstance(genome, RankScaled) for genome in drive(make(), 20))

    def test_another_seed_gives_other_genomes(self, make: Make) -> None:
        """All but the parents, which come first."""
        other = build(self.factory, {**self.arguments, "seed": 1})
        first, second = drive(make(), 12), drive(other, 12)
        assert equal(first[:3], second[:3])
        assert not equal(first[3:], second[3:])

    def test_genomes_cannot_be_changed_from_outside(self, make: Make) -> None:
        genome: Any = make().ask(1)[0]
        with pytest.raises(AttributeError):
            genome.weights = ()


def told(optimiser: CycleQD, *values: tuple[float, ...], violations: tuple[float, ...] = ()) -> list[RankScaled]:
    """Tell the next proposals what they reached, one after the other; return them."""
    first = optimiser._first + len(optimiser._told)
    found = []
    for i, row in enumerate(values):
        (genome,) = optimiser.ask(1)
        named = {f"task {k}": value for k, value in enumerate(row)}
        one: Evaluation = evaluation(first + i, np.asarray(genome), **named)
        object.__setattr__(one, "violation", violations[i] if violations else 0.0)
        optimiser.tell([one])
        found.append(genome)
    return found


def test_an_archive_keeps_the_best_in_quality_of_each_cell_of_the_other_scores() -> None:
    optimiser = CycleQD(3, n_objectives=2, seed=0, cells=10)
    told(optimiser, (0.9, 0.11), (0.5, 0.15), (0.2, 0.8))
    assert [elite.values for elite in optimiser.elites(0)] == [(0.9, 0.11), (0.2, 0.8)]
    assert [elite.values for elite in optimiser.elites(1)] == [(0.2, 0.8), (0.5, 0.15), (0.9, 0.11)]


def test_of_a_cell_the_one_that_misses_constraints_least_is_kept() -> None:
    optimiser = CycleQD(3, n_objectives=2, seed=0)
    told(optimiser, (0.9, 0.11), (0.5, 0.15), (0.7, 0.12), violations=(0.3, 0.1, 0.1))
    assert [elite.values for elite in optimiser.elites(0)] == [(0.7, 0.12)]


def test_quality_goes_round_and_children_mutate_along_its_best_parent() -> None:
    optimiser = CycleQD(2, n_objectives=2, seed=0, children=3)
    told(optimiser, (0.1, 0.9), (0.9, 0.1))
    experts = []
    for _ in range(4):
        children = told(optimiser, *[(0.5, 0.5)] * 3)
        experts.append({max(child.mutations, key=lambda one: one[0][1])[0][0] for child in children})
    assert experts == [{1}, {0}, {1}, {0}]


def test_children_are_means_of_two_elites() -> None:
    optimiser = CycleQD(2, n_objectives=2, seed=0, children=50)
    told(optimiser, (0.1, 0.9), (0.9, 0.1))
    weights = np.array([child.weights for child in optimiser.ask(50)])
    assert weights.sum(axis=1) == pytest.approx(1.0)
    assert {round(weight, 1) for weight in weights[:, 0]} == {0.0, 0.5, 1.0}


def test_parents_are_drawn_by_the_product_of_scores_between_a_half_and_four_fifths() -> None:
    values = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.5, 0.5]])
    assert _shares(values).tolist() == pytest.approx([0.4, 0.4, 0.64, 0.65**2])
    assert _shares(np.full((2, 3), 0.3)).tolist() == pytest.approx([0.512, 0.512])


def test_where_all_parents_fail_their_means_are_tried_all_the_same() -> None:
    optimiser = CycleQD(2, n_objectives=2, seed=0)
    optimiser.tell([failure(i, np.asarray(genome)) for i, genome in enumerate(optimiser.ask(2))])
    assert len(optimiser.ask(8)) == 8


def test_a_mutation_fades_by_halves_and_is_left_out_once_it_is_faint() -> None:
    one = RankScaled((1.0, 0.0)).mutated(0, 1, 0.1)
    mixed = one.mixed(RankScaled((0.0, 1.0)), (1.0, 1.0))
    assert mixed == RankScaled((0.5, 0.5), (((0, 1), 0.05),))
    assert mixed.mixed(one, (1.0, 3.0)).mutations[0][1] == pytest.approx(0.0875)
    for draw in range(2, 14):
        one = one.mixed(RankScaled((0.0, 0.0)), (1.0, 1.0)).mutated(1, draw, 0.1)
    sizes = [size for _, size in one.mutations]
    assert len(sizes) == 11
    assert min(sizes) == pytest.approx(0.1 * FAINT)


def test_it_is_for_a_space_of_kind_niches() -> None:
    with pytest.raises(OptimiserError, match="expected a space of kind niches with cycle_qd"):
        CycleQd().build(Problem(ToySpace(), 3, {"left": 1.0}, 40))
