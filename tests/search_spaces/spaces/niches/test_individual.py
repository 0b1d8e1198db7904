"""Individuals are values: checked, read-only, equal by content, and a flat vector and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import SpaceError
from search_spaces.recipes.flat_layout import FlatLayout
from search_spaces.spaces.niches.individual import Individual, merged


@st.composite
def individuals(draw: st.DrawFn, *, size: int = 100, n_parents: int | None = None) -> Individual:
    k = draw(st.integers(1, 4)) if n_parents is None else n_parents
    cuts = sorted(draw(st.sets(st.integers(1, size - 1), max_size=8)))
    share = st.one_of(st.sampled_from([0.0, 1.0, 1 / 3]), st.floats(-2, 2))
    rows = draw(st.lists(st.lists(share, min_size=k, max_size=k), min_size=len(cuts) + 1, max_size=len(cuts) + 1))
    return Individual(np.array([0, *cuts, size]), np.array(rows))


@given(one=individuals(), other=individuals())
def test_as_flat_vectors_of_float64_individuals_are_equal_exactly_when_they_are(
    one: Individual, other: Individual
) -> None:
    """The archive compares and keeps them in this form."""
    flat = np.asarray(one, "<f8")
    k, n = one.n_parents, len(one.coefficients)
    assert (flat.shape, flat[0]) == ((1 + n + 1 + n * k,), k)
    again = Individual(flat[1 : n + 2], flat[n + 2 :].reshape(n, k))
    assert (again, hash(again)) == (one, hash(one))
    assert np.array_equal(flat, np.asarray(other)) == (one == other)


@given(individual=individuals())
def test_merging_segments_keeps_every_parameters_coefficients(individual: Individual) -> None:
    whole = merged(individual.boundaries, individual.coefficients)
    assert (whole.coefficients[1:] != whole.coefficients[:-1]).any(axis=1).all()
    cuts = np.arange(individual.size + 1)
    assert np.array_equal(whole.refined(cuts), individual.refined(cuts))


def test_the_arrays_can_be_changed_neither_inside_nor_outside() -> None:
    boundaries, coefficients = np.array([0, 5]), np.ones((1, 2))
    individual = Individual(boundaries, coefficients)
    coefficients[:] = 7
    assert individual.coefficients.tolist() == [[1.0, 1.0]]
    with pytest.raises(ValueError, match="read-only"):
        individual.coefficients[0, 0] = 2


@pytest.mark.parametrize(
    ("boundaries", "coefficients", "message"),
    [
        ([1, 5], [[1.0]], "boundaries: expected whole numbers that ascend from 0"),
        ([0, 5, 5], [[1.0], [1.0]], "boundaries: expected whole numbers that ascend from 0"),
        ([0], [], "boundaries: expected whole numbers that ascend from 0"),
        ([0, 5], [[1.0], [2.0]], "coefficients: expected one row per segment, 1"),
        ([0, 5], [[np.nan]], "coefficients: expected finite numbers"),
    ],
)
def test_wrong_arrays_are_named(boundaries: list[int], coefficients: list[list[float]], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Individual(np.array(boundaries), np.array(coefficients))


def test_a_checkpoints_order_is_embeddings_layers_final_norm_and_head() -> None:
    names = ["lm_head.weight", "model.layers.10.a", "model.layers.2.b", "model.layers.2.a", "model.norm.weight"]
    layout = FlatLayout.of_checkpoint({**dict.fromkeys(names, 3), "model.embed_tokens.weight": 5, "empty": 0})
    assert layout.names == (
        "model.embed_tokens.weight",
        "model.layers.2.a",
        "model.layers.2.b",
        "model.layers.10.a",
        "model.norm.weight",
        "lm_head.weight",
    )
    assert layout.starts.tolist() == [0, 5, 8, 11, 14, 17, 20]
