"""Individuals with a gain are what their formula says, and the paper's where the gain is 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import SpaceError
from search_spaces.merging.materialise import merged_tensor
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe
from search_spaces.spaces.known_merges import individual_of, merged_by
from search_spaces.spaces.niches.crossover import Crossover
from search_spaces.spaces.niches.gain import (
    MIXTURES,
    GainedCrossover,
    combination_of,
    first_individuals,
    gain_of,
    gained,
)
from search_spaces.spaces.niches.individual import Individual
from search_spaces.spaces.niches.niche_space import NicheSpace
from tests.conftest import Family
from tests.search_spaces.merging.recipes import opened
from tests.search_spaces.spaces.niches.test_crossover import LAYOUT, grams, normal, weights
from tests.search_spaces.spaces.niches.test_individual import individuals

GAINS = (0.5, 3.0)


@pytest.fixture(scope="module")
def space(family: Family) -> NicheSpace:
    return NicheSpace(opened(family.parents), "base", merge_base=False, dtype="float32")


@pytest.fixture(scope="module")
def parents(family: Family) -> Parents:
    return opened(family.parents)


@given(one=individuals(size=50, n_parents=3), gain=st.floats(0.1, 5.0))
def test_an_individual_goes_so_many_times_along_its_task_vector(one: Individual, gain: float) -> None:
    base, parents = normal(1, 50), normal(2, 3, 50)
    found = weights(gained(one, gain), np.vstack([base, parents]))
    assert found == pytest.approx(base + gain * (weights(one, parents) - base), abs=1e-9)
    assert gain_of(gained(one, gain)) == pytest.approx(gain)
    assert combination_of(gained(one, gain)).coefficients == pytest.approx(one.coefficients)


def crossing(gains: tuple[float, float] = GAINS) -> GainedCrossover:
    plain = Crossover(grams(normal(0, 3, LAYOUT.size)))
    return GainedCrossover(plain, first_individuals(plain.seeds, gains), gains)


def test_the_first_are_the_parents_as_they_are_and_their_mean_at_gains_of_equal_ratios() -> None:
    first = crossing().seeds
    assert [one.coefficients.tolist() for one in first[:3]] == [[[0, 1, 0, 0]], [[0, 0, 1, 0]], [[0, 0, 0, 1]]]
    gains = np.array([gain_of(one) for one in first[3:]])
    assert len(gains) == MIXTURES
    assert np.diff(np.log(gains)) == pytest.approx(np.log(6) / MIXTURES)
    assert gains.prod() ** (1 / MIXTURES) == pytest.approx(np.sqrt(0.5 * 3.0))
    assert all(combination_of(one).coefficients == pytest.approx(1 / 3) for one in first[3:])


@given(seed=st.integers(0, 10_000))
def test_a_child_combines_as_without_a_gain_and_its_gain_lies_near_its_parents(seed: int) -> None:
    cross = crossing()
    first, second = (gained(combination_of(cross.seeds[i]), gain) for i, gain in ((0, 0.8), (4, 2.0)))
    child = cross.child(first, second, np.random.default_rng(seed))
    plain = cross.crossover.child(combination_of(first), combination_of(second), np.random.default_rng(seed))
    assert combination_of(child).coefficients == pytest.approx(plain.coefficients)
    assert child.boundaries.tolist() == plain.boundaries.tolist()
    assert np.log(0.8) - 0.5 < np.log(gain_of(child)) < np.log(2.0) + 0.5


def test_an_inherited_gain_has_a_tenth_of_noise_on_its_logarithm() -> None:
    cross, rng = crossing((0.01, 100.0)), np.random.default_rng(0)
    parent = gained(combination_of(cross.seeds[0]), 2.0)
    logs = np.log([gain_of(cross.child(parent, parent, rng)) for _ in range(2000)])
    assert (logs.mean(), logs.std()) == pytest.approx((np.log(2.0), 0.1), abs=0.01)


def test_gains_stay_in_their_range() -> None:
    cross, rng = crossing((1.0, 1.05)), np.random.default_rng(0)
    child, gains = cross.seeds[0], []
    for _ in range(50):
        child = cross.child(child, cross.seeds[1], rng)
        gains.append(gain_of(child))
    assert 1.0 - 1e-9 <= min(gains) < max(gains) <= 1.05 + 1e-9


@pytest.mark.parametrize("gains", [(0.0, 1.0), (2.0, 1.0), (1.0, float("inf"))])
def test_a_range_that_is_none_is_refused(gains: tuple[float, float]) -> None:
    with pytest.raises(SpaceError, match=r"gain: expected \[low, high\]"):
        crossing(gains)


def test_a_recipe_with_a_gain_is_made_exactly_and_read_back(space: NicheSpace, parents: Parents) -> None:
    cross = space.gained_crossover("tensor", "global", GAINS)
    rng = np.random.default_rng(3)
    child = cross.child(cross.child(cross.seeds[0], cross.seeds[3], rng), cross.seeds[1], rng)
    recipe = space.decode(child)
    assert recipe.pieces is not None
    assert recipe.pieces.parents[0] == "base"
    assert space.encode(Recipe.from_json(recipe.to_json())) == child
    combination = space.decode(combination_of(child))
    gain = gain_of(child)
    for name in parents["base"].names:
        base, combined = parents["base"].tensor(name).double(), merged_tensor(combination, parents, name).double()
        torch.testing.assert_close(
            merged_tensor(recipe, parents, name).double(), base + gain * (combined - base), atol=1e-5, rtol=1e-4
        )


def test_known_first_individuals_are_not_born_again(space: NicheSpace) -> None:
    known = [individual_of(space, landmark.recipe) for landmark in space.landmarks()]
    assert [None if one is None else gain_of(one) for one in known] == [None, 1.0, 1.0, 1.0, None]  # base, TIES: none
    left = space.gained_crossover("param", "global", GAINS, known=[one for one in known if one is not None]).seeds
    assert [len(set(one.coefficients[0, 1:].tolist())) for one in left] == [1] * MIXTURES


def test_where_all_first_individuals_are_known_one_is_left_to_breed_from(space: NicheSpace) -> None:
    """With one gain alone the four mixtures are one, and may be the landmark of the uniform mean."""
    known = [*space.gained_crossover("param", "global", (1.0, 1.0)).seeds]
    assert len(known) == 3
    assert space.gained_crossover("param", "global", (1.0, 1.0), known=known).seeds == (known[-1],)


def test_shares_that_go_backwards_have_no_gain(space: NicheSpace) -> None:
    with pytest.raises(SpaceError, match=r"shares: expected some of .* with a sum above 0, found \{'alpha': -1.0\}"):
        space.individual_of({"alpha": -1.0})


def test_task_arithmetic_is_the_mean_with_a_gain_and_merges_alike(space: NicheSpace, parents: Parents) -> None:
    mean = next(one.recipe for one in space.landmarks() if one.name == "uniform mean")
    recipe = merged_by(mean, "task_arithmetic", space.merged, weight=0.7)
    one = individual_of(space, recipe)
    assert one is not None
    assert gain_of(one) == pytest.approx(1.4)
    for name in parents["base"].names:
        torch.testing.assert_close(
            merged_tensor(space.decode(one), parents, name), merged_tensor(recipe, parents, name), atol=1e-6, rtol=1e-5
        )


def test_a_gain_without_a_base_is_refused(family: Family) -> None:
    merged = NicheSpace(opened(family.parents), "base", merge_base=True, dtype="float32")
    with pytest.raises(SpaceError, match=r"gain: expected a base.*add the key base"):
        merged.gained_crossover("param", "global", GAINS)
