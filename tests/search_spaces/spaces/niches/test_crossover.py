"""Children made without weights are the children of stored weights, for every kind of angle and split."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search_spaces.errors import SpaceError
from search_spaces.recipes.flat_layout import FlatLayout, Split
from search_spaces.spaces.niches.crossover import Angle, Crossover, GramMatrices, slerp_shares
from search_spaces.spaces.niches.individual import Individual
from search_spaces.spaces.niches.stored_crossover import StoredCrossover

LAYOUT = FlatLayout(("embed", "layers.0.a", "layers.0.b", "layers.1.a", "norm"), (37, 11, 50, 61, 7))
Vector = NDArray[np.float64]


def grams(parents: Vector, layout: FlatLayout = LAYOUT, *, block: int = 16) -> GramMatrices:
    def read(i: int) -> list[torch.Tensor]:
        return list(torch.from_numpy(parents[:, layout.starts[i] : layout.starts[i + 1]].copy()))

    return GramMatrices(layout, len(parents), read, block=block)


def weights(individual: Individual, parents: Vector) -> Vector:
    return (np.repeat(individual.coefficients, np.diff(individual.boundaries), axis=0) * parents.T).sum(axis=1)


def slerp(a: Vector, b: Vector, ratio: float | Vector, angle_of: slice) -> Vector:
    """Slerp as it is written in the paper, with the angle of a part of the vectors; independent of our code."""
    x, y = a[angle_of], b[angle_of]
    angle = np.arccos(np.clip(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)), -1, 1))
    if np.sin(angle) <= 1e-6:
        return (1 - ratio) * a + ratio * b
    return np.sin((1 - ratio) * angle) / np.sin(angle) * a + np.sin(ratio * angle) / np.sin(angle) * b


def stored_child(a: Vector, b: Vector, split: int, w: float, angle: Angle) -> Vector:
    ratio = np.where(np.arange(len(a)) < split, w, 1 - w)
    if angle == "global":
        return slerp(a, b, ratio, slice(None))
    parts = [0, split, len(a)] if angle == "side" else LAYOUT.starts.tolist()
    child = np.empty_like(a)
    for start, stop in itertools.pairwise(parts):
        if start < stop:
            child[start:stop] = slerp(a, b, ratio, slice(start, stop))[start:stop]
    return child


def normal(seed: int, *shape: int) -> Vector:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("angle", get_args(Angle))
@pytest.mark.parametrize("split", [0, 3, 37, 90, 163])
def test_a_child_is_slerp_of_the_weights_on_both_sides(angle: Angle, split: int) -> None:
    parents = normal(0, 3, LAYOUT.size)
    crossover = Crossover(grams(parents), "param", angle)
    a, b, c = crossover.seeds
    first = crossover.cross(a, b, split=100, ratio=0.3)
    child = crossover.cross(first, c, split=split, ratio=0.8)
    expected = stored_child(weights(first, parents), parents[2], split, 0.8, angle)
    assert weights(child, parents) == pytest.approx(expected, abs=1e-13)


@pytest.mark.parametrize("split", ["param", "tensor", "layer"])
@pytest.mark.parametrize("angle", get_args(Angle))
def test_both_kinds_of_storage_make_the_same_children_from_the_same_random_numbers(split: Split, angle: Angle) -> None:
    parents = normal(1, 2, LAYOUT.size).astype(np.float32)
    genealogies = Crossover(grams(parents.astype(np.float64)), split, angle)
    stored = StoredCrossover(tuple(parents), LAYOUT, split, angle)
    for seed in range(20):
        ours = genealogies.child(*genealogies.seeds, np.random.default_rng(seed))
        theirs = stored.child(*stored.seeds, np.random.default_rng(seed))
        assert weights(ours, parents.astype(np.float64)) == pytest.approx(theirs.astype(np.float64), abs=1e-5)


def evolved(n_generations: int, size: int, n_parents: int, *, block: int) -> tuple[float, int]:
    """Breed a population of 20 both ways; return the largest difference of weights and the number of segments."""
    layout = FlatLayout(("w",), (size,))
    parents, rng = normal(2, n_parents, size), np.random.default_rng(3)
    crossover = Crossover(grams(parents, layout, block=block))
    pairs = list(zip(crossover.seeds, parents, strict=True))
    for _ in range(n_generations):
        (a, x), (b, y) = (pairs[i] for i in rng.choice(len(pairs), 2, replace=False))
        split, w = int(rng.integers(size)), rng.random()
        child = crossover.cross(a, b, split=split, ratio=w), stored_child(x, y, split, w, "global")
        pairs = [*pairs[:n_parents], *pairs[n_parents:][-17:], child]  # the parents stay, or all become alike
    return max(float(np.abs(weights(a, parents) - x).max()) for a, x in pairs), len(pairs[-1][0].coefficients)


def test_after_2000_generations_of_19210_parameters_the_weights_are_those_of_a_stored_population() -> None:
    difference, n_segments = evolved(2000, 19_210, 2, block=1 << 15)
    assert difference < 1e-12
    assert n_segments > 100


def test_blocks_change_nothing() -> None:
    assert evolved(200, 3000, 3, block=64)[0] < 1e-12


@given(ratio=st.floats(0, 1), angle=st.floats(0.01, 3.1), scale=st.floats(0.1, 10))
def test_slerp_of_two_vectors_in_a_plane_turns_by_a_share_of_their_angle(
    ratio: float, angle: float, scale: float
) -> None:
    share_a, share_b = slerp_shares(ratio, dot=math.cos(angle) * scale**2, square_a=scale**2, square_b=scale**2)
    x, y = share_a + share_b * math.cos(angle), share_b * math.sin(angle)
    assert math.hypot(x, y) == pytest.approx(1.0, abs=1e-6)
    assert math.atan2(y, x) == pytest.approx(ratio * angle, abs=1e-6)


@pytest.mark.parametrize("angle", get_args(Angle))
def test_a_ratio_of_0_or_1_is_a_parent_itself(angle: Angle) -> None:
    crossover = Crossover(grams(normal(0, 2, LAYOUT.size)), "param", angle)
    a, b = crossover.seeds
    assert crossover.cross(a, b, split=LAYOUT.size, ratio=0.0) == a
    assert crossover.cross(a, b, split=LAYOUT.size, ratio=1.0) == b
    assert crossover.cross(a, b, split=0, ratio=1.0) == a


@pytest.mark.parametrize(
    ("dot", "square_a", "square_b"),
    [(1.0, 1.0, 1.0), (-1.0, 1.0, 1.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0), (6.0, 4.0, 9.0)],
    ids=["same", "opposite", "zero A", "zero B", "both zero", "parallel"],
)
def test_vectors_without_an_angle_are_interpolated_linearly(dot: float, square_a: float, square_b: float) -> None:
    assert slerp_shares(0.3, dot=dot, square_a=square_a, square_b=square_b) == (0.7, 0.3)


def test_an_individual_crossed_with_itself_stays_as_it_is() -> None:
    crossover = Crossover(grams(normal(0, 2, LAYOUT.size)))
    child = crossover.cross(*crossover.seeds, split=60, ratio=0.25)
    again = crossover.cross(child, child, split=100, ratio=0.5)
    assert again == child  # and the cut at 100, between equal coefficients, is gone


def split_points_drawn(split: Split, n: int = 300) -> set[int]:
    crossover = Crossover(grams(normal(0, 2, LAYOUT.size)), split)
    rng = np.random.default_rng(0)
    children = [crossover.child(*crossover.seeds, rng) for _ in range(n)]
    return {int(b) for child in children for b in child.boundaries}


def test_splits_fall_where_they_may() -> None:
    ends = {0, LAYOUT.size}
    assert split_points_drawn("none") == ends
    assert split_points_drawn("tensor") == ends | {37, 48, 98, 159}
    assert split_points_drawn("layer") == ends | {37, 98, 159}
    assert len(split_points_drawn("param")) > 100


@given(
    cuts=st.lists(st.integers(1, LAYOUT.size - 1), max_size=12, unique=True), block=st.sampled_from([1, 8, 64, 1000])
)
@settings(deadline=None)
def test_gram_matrices_of_any_segments_are_inner_products(cuts: Sequence[int], block: int) -> None:
    parents = normal(4, 3, LAYOUT.size)
    edges = np.array([0, *sorted(cuts), LAYOUT.size])
    matrices = grams(parents, block=block)
    for found in (matrices.between(edges), matrices.between(edges)):
        for start, stop, gram in zip(edges[:-1], edges[1:], found, strict=True):
            assert gram == pytest.approx(parents[:, start:stop] @ parents[:, start:stop].T, abs=1e-12)


def test_gram_matrices_are_the_same_bits_whatever_the_number_of_threads() -> None:
    parents = normal(5, 2, LAYOUT.size)
    single = grams(parents).between(np.array([0, 5, 166]))
    torch.set_num_threads(3)
    try:
        assert grams(parents).between(np.array([0, 5, 166])).tobytes() == single.tobytes()
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "word"}, "split: expected one of param, tensor, layer or none, found 'word'"),
        ({"angle": "wide"}, "angle: expected one of global, side, tensor, found 'wide'"),
        ({"mutation": -1.0}, "mutation: expected a standard deviation of at least 0"),
        ({"recombines": False}, "mutation: expected above 0 without crossover"),
    ],
)
def test_wrong_options_are_named(options: dict[str, object], message: str) -> None:
    seeds = tuple(np.zeros((2, LAYOUT.size), dtype=np.float32))
    with pytest.raises(SpaceError, match=message):
        StoredCrossover(seeds, LAYOUT, **options)  # type: ignore[arg-type]


def test_mutation_adds_noise_of_the_given_deviation_to_every_parameter() -> None:
    layout = FlatLayout(("w",), (20_000,))
    seeds = tuple(normal(6, 2, layout.size).astype(np.float32))
    alone = StoredCrossover(seeds, layout, recombines=False, mutation=0.01)
    noise = alone.child(seeds[0], seeds[1], np.random.default_rng(0)) - seeds[0]
    assert float(noise.std()) == pytest.approx(0.01, rel=0.05)
    assert abs(float(noise.mean())) < 0.0005
