"""Niches over genes keep the optimiser contract; children are crossed at groups and inherit choices whole."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge.candidate import Evaluation
from evomerge.kinds import OptionsError
from evomerge.optimisers import NaturalNiches, Problem
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.niches.gene_crossing import BEYOND, GeneCrossing, first_genomes
from evomerge.optimisers.niches.m2n2 import M2N2Search
from evomerge.optimisers.random_search import RandomSearch
from evomerge.seeds import stream
from evomerge.testing.optimiser_contract import Make, build, drive, equal, evaluation, outcomes_of
from search_spaces.recipes.groups import Groups
from search_spaces.spaces.space import OFF, ON, Structure
from search_spaces.spaces.weight_space import WeightSpace
from tests.evomerge.optimisers.niches.breeding import genes
from tests.evomerge.optimisers.niches.test_m2n2 import SteadyState
from tests.evomerge.toy import PARENTS

# Three groups of an indicator with a number under it, a choice of three, and two numbers that are in no group.
MIXED = Structure(9, (0, 1, 2), (1, 2), {6: 3}, {3: 0, 4: 1, 5: 2}, ((0, 3), (1, 4), (2, 5)))


class OfGenes(SteadyState):
    factory = "tests.evomerge.optimisers.niches.breeding:genes"

    def test_another_seed_gives_other_genomes(self, make: Make) -> None:
        """All but the start, which comes first."""
        other = build(self.factory, {**self.arguments, "seed": self.arguments["seed"] + 1})
        first, second = drive(make(), 5), drive(other, 5)
        assert equal(first[:1], second[:1])
        assert not equal(first[1:], second[1:])


class TestNichesOfNumbers(OfGenes):
    arguments: ClassVar = {"dim": 5, "seed": 0, "population": 6}


class TestNichesOfChoices(OfGenes):
    arguments: ClassVar = {"dim": 9, "seed": 0, "population": 4, "choices": True}


def genomes(structure: Structure, seed: int) -> list[np.ndarray]:
    """Return two settled ones."""
    start = np.full(structure.dim, 0.5)
    found = first_genomes(structure, [], around=start, designed=2, spread=1.0, seed=seed)
    return list(found)


@given(seed=st.integers(0, 10_000))
def test_each_group_is_a_share_of_both_parents_and_the_sides_of_the_split_have_opposite_shares(seed: int) -> None:
    structure = Structure(6, (), (0, 0), groups=((0, 1), (2, 3), (4, 5)))
    crossing = GeneCrossing(structure, (np.full(6, 0.5),), mutation=0.0, flips=0.0)
    first, second = (0.4 + 0.2 * genome for genome in genomes(structure, seed))
    child = crossing.child(first, second, stream(seed, "test"))
    shares = (child - first) / (second - first)
    assert -BEYOND - 1e-9 <= shares.min() <= shares.max() <= 1 + BEYOND + 1e-9
    assert shares[::2] == pytest.approx(shares[1::2])
    for share in shares:
        assert min(abs(share - shares[0]), abs(share - (1 - shares[0]))) < 1e-9


@given(seed=st.integers(0, 10_000))
def test_a_group_whose_choices_differ_is_one_parents_as_a_whole(seed: int) -> None:
    crossing = GeneCrossing(MIXED, (np.full(9, 0.5),), mutation=0.0, flips=0.0)
    first, second = genomes(MIXED, seed)
    child = crossing.child(first, second, stream(seed, "test"))
    for group in MIXED.groups:
        genes_of = list(group)
        if first[group[0]] != second[group[0]]:
            assert child[genes_of[1]] in (first[genes_of[1]], second[genes_of[1]])
    assert 1 <= (child[:3] == ON).sum() <= 2


@given(seed=st.integers(0, 10_000), flips=st.floats(0, 9), mutation=st.floats(0, 3))
def test_children_are_settled_genomes_of_the_cube(seed: int, flips: float, mutation: float) -> None:
    crossing = GeneCrossing(MIXED, (np.full(9, 0.5),), mutation=mutation, flips=flips)
    rng = stream(seed, "test")
    child = crossing.child(*genomes(MIXED, seed), rng)
    assert ((child >= 0) & (child <= 1)).all()
    assert set(child[:3]) <= {OFF, ON}
    assert child[6] * 3 - 0.5 == pytest.approx(round(child[6] * 3 - 0.5))
    assert 1 <= (child[:3] == ON).sum() <= 2


def test_choices_change_as_often_as_is_said() -> None:
    structure = Structure(20, tuple(range(19)), (0, 19), {19: 4})
    crossing = GeneCrossing(structure, (np.full(20, 0.5),), mutation=0.0, flips=2.0)
    rng, parent = stream(0, "test"), genomes(structure, 0)[0]
    changed = [int((crossing.child(parent, parent, rng) != parent).sum()) for _ in range(1000)]
    assert np.mean(changed) == pytest.approx(2.0, abs=0.2)


def test_without_numbers_no_child_is_its_only_parent() -> None:
    structure = Structure(4, (0, 1, 2, 3), (0, 4))
    crossing = GeneCrossing(structure, (np.full(4, 0.5),), mutation=0.1, flips=0.01)
    rng, parent = stream(0, "test"), genomes(structure, 0)[0]
    assert not any((crossing.child(parent, parent, rng) == parent).all() for _ in range(50))


def test_the_first_genomes_are_the_starts_and_then_one_for_each_stratum_of_every_gene() -> None:
    structure = Structure(3, (), (0, 0))
    start = np.array([0.2, 0.5, 1.0])
    found = np.array(first_genomes(structure, [start], around=start, designed=8, spread=0.5, seed=1))
    assert found[0].tolist() == start.tolist()
    strata = np.floor((found[1:] - 0.5 * start) / 0.5 * 8).astype(int)
    assert np.sort(strata, axis=0).T.tolist() == [list(range(8))] * 3


def test_a_start_outside_the_cube_is_refused() -> None:
    with pytest.raises(OptimiserError, match=r"starts: expected genomes of 2 numbers in \[0, 1\]"):
        first_genomes(
            Structure(2, (), (0, 0)), [np.array([1.5, 0.0])], around=np.zeros(2), designed=0, spread=1, seed=0
        )


SPACE = WeightSpace(
    PARENTS, "base", n_layers=2, operators=["task_arithmetic"], groups=Groups(2, ("all",)), genes={"weight": (0.0, 1.0)}
)


def test_what_landmarks_reached_makes_the_first_members_and_is_not_scored_again() -> None:
    known = np.array([0.25, 0.5, 0.75, 1.0])
    told = evaluation(0, known)
    problem = Problem(SPACE, 3, {"left": 1.0, "right": 1.0}, 40, given=(known,), scored=(told,))
    optimiser: Any = NaturalNiches(population=6, designed=3).build(problem)
    first = optimiser.ask(10)
    assert [member.individual.tolist() for member in optimiser.members] == [known.tolist()]
    assert len(first) == 4  # the space's own start, and the designed ones
    assert first[0].tolist() == [0.5] * 4
    optimiser.tell(outcomes_of(first, first=0))
    assert len(optimiser.ask(1)) == 1
    assert len(optimiser.members) == 5


def test_a_warm_start_is_scored_first() -> None:
    given = np.array([0.1, 0.2, 0.3, 0.4])
    optimiser = NaturalNiches().build(Problem(SPACE, 3, {"left": 1.0}, 40, given=(given,)))
    assert optimiser.ask(1)[0].tolist() == given.tolist()


def best_of(optimiser: Any, n: int) -> float:
    """Return the best mean of thirty items: whether a gene is within 0.1, 0.2 or 0.3 of what is wanted of it."""
    best, asked, aims = 0.0, 0, stream(1, "aims").random(10)
    while asked < n:
        (genome,) = optimiser.ask(1)
        found = (np.abs(genome - aims) < [[0.1], [0.2], [0.3]]).astype(float).ravel()
        told: Evaluation = evaluation(asked, genome, **{f"item {i}": float(v) for i, v in enumerate(found)})
        optimiser.tell([told])
        best, asked = max(best, float(found.mean())), asked + 1
    return best


def test_items_that_different_genes_solve_are_combined_sooner_than_by_chance() -> None:
    structure = Structure(10, (), (0, 0), groups=tuple((gene,) for gene in range(10)))
    niches, chance = [], []
    for seed in range(5):
        seeds = first_genomes(structure, [], around=np.full(10, 0.5), designed=9, spread=1.0, seed=seed)
        crossing = GeneCrossing(structure, seeds, mutation=0.05, flips=0.0)
        niches.append(best_of(M2N2Search(crossing, seed=seed, population=10), 100))
        chance.append(best_of(RandomSearch(10, seed=seed), 100))
    assert np.mean(niches) > np.mean(chance) + 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mutation": -0.1}, "mutation: expected a number of at least 0"),
        ({"spread": 1.5}, "spread: expected a number of at most 1"),
        ({"population": 1}, "population: expected a number of at least 2"),
        ({"gain": (2.0, 1.0)}, r"gain: expected \[low, high\]"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        NaturalNiches(**options)


def test_the_start_of_a_search_does_not_depend_on_the_size_of_the_population() -> None:
    assert equal(genes(dim=4, seed=1, population=3).ask(2), genes(dim=4, seed=1, population=9).ask(2))
