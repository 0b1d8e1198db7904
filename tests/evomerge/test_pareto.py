"""The front equals a slow loop's, and the knee is where a person would point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from evomerge.pareto import front, knee

# Few distinct values, so that ties and duplicates are common.
points = st.tuples(st.integers(0, 30), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(-3, 3).map(float))
)


def slow_front(values: NDArray[np.float64]) -> list[int]:
    return [i for i, p in enumerate(values) if not any(bool((q >= p).all()) and bool((q > p).any()) for q in values)]


@settings(deadline=None)
@given(points)
def test_the_front_equals_a_slow_loops(values: NDArray[np.float64]) -> None:
    assert front(values).tolist() == slow_front(values)


def test_the_front_of_many_points_equals_a_slow_loops() -> None:
    values = np.random.default_rng(0).random((400, 3)).round(2)
    assert front(values).tolist() == slow_front(values)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_a_hundred_thousand_points_on_a_sphere_are_all_on_the_front(m: int) -> None:
    """A quadratic algorithm would not come back."""
    values = np.abs(np.random.default_rng(m).standard_normal((100_000, m)))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    kept = front(values)
    assert len(kept) == 100_000 if m > 1 else len(kept) == np.sum(values == values.max())


def test_copies_of_a_front_point_are_all_kept() -> None:
    assert front([[1, 0], [0, 1], [1, 0], [0, 0]]).tolist() == [0, 1, 2]


@pytest.mark.parametrize("function", [front, knee])
@pytest.mark.parametrize(
    ("values", "message"),
    [([1.0, 2.0], "shape"), (np.empty((3, 0)), "shape"), ([[np.nan, 1]], "finite"), ([[np.inf, 1]], "finite")],
)
def test_wrong_values_are_named(function: object, values: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(values)  # type: ignore[operator]


def test_no_points_have_an_empty_front_and_no_knee() -> None:
    assert front(np.empty((0, 2))).tolist() == []
    with pytest.raises(ValueError, match="at least one front point"):
        knee(np.empty((0, 2)))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([[3, 3]], 0, id="one point"),
        pytest.param([[1, 1], [1, 1]], 0, id="equal points"),
        pytest.param([[0, 1], [1, 0]], 0, id="two points: a tie"),
        pytest.param([[0, 1], [0.5, 0.9], [0.6, 0.6], [1, 0]], 1, id="the bulge"),
        pytest.param([[0, 1], [0.25, 0.75], [0.5, 0.5], [1, 0]], 2, id="collinear: the most balanced"),
        pytest.param([[0, 1], [0.3, 0.4], [0.35, 0.3], [1, 0]], 2, id="dented as a whole"),
        pytest.param([[0, 1], [0.05, 0.6], [0.6, 0.55], [1, 0]], 2, id="a deep dent beside a bulge"),
        pytest.param([[0, 1], [300, 0.95], [600, 0.6], [1000, 0]], 1, id="scales do not matter"),
        pytest.param([[1, 5], [2, 5], [3, 5]], 2, id="a constant objective"),
        pytest.param([[1], [3], [2]], 1, id="one objective"),
        pytest.param([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0.4]], 3, id="three objectives"),
        pytest.param([[1, 1, 0], [0, 0, 1], [0.7, 0.6, 0.9]], 2, id="coincident extremes"),
    ],
)
def test_the_knee(values: list[list[float]], expected: int) -> None:
    assert knee(values) == expected


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(2, 4), st.integers(1, 20))
def test_the_knee_moves_neither_with_units_nor_with_the_order_of_points(seed: int, m: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.abs(rng.standard_normal((n, m)))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    order = rng.permutation(n)
    if n > m:  # with fewer points ties between extremes are likely, and go to the first
        assert order[knee(values[order])] == knee(values)
        assert knee(values * rng.uniform(1, 100, m) + rng.uniform(-5, 5, m)) == knee(values)


def test_the_knee_of_a_quarter_circle_is_its_middle() -> None:
    angle = np.linspace(0, np.pi / 2, 91)
    assert knee(np.column_stack([np.cos(angle), np.sin(angle)])) == 45


def test_a_compromise_that_is_itself_the_best_of_an_objective_is_the_knee() -> None:
    values = [[1.0, 0.0, 0.01], [0.53, 1.0, 0.96], [0.73, 0.23, 0.82], [0.1, 0.98, 1.0], [0.9, 0.76, 0.3]]
    assert knee(values) == 1
