"""Steps of descents against closed forms and a slow loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from evomerge.optimisers.gradient.steppers import Adam, FrankWolfe, Stepper, Values


def steps(stepper: Stepper, centre: Values, start: Values, n: int, curvature: float = 1.0) -> Values:
    """Go down curvature/2 |λ - centre|²."""
    for _ in range(n):
        start = stepper.advance(start, curvature * (start - centre))
    return start


def test_adam_steps_as_torchs_adam_does() -> None:
    rng = np.random.default_rng(0)
    start, slopes = rng.standard_normal((3, 4)), rng.standard_normal((20, 3, 4))
    parameter = torch.nn.Parameter(torch.tensor(start))
    reference = torch.optim.Adam([parameter], lr=0.02)
    ours, values = Adam(0.02), start
    for slope in slopes:
        parameter.grad = torch.tensor(slope)
        reference.step()
        values = ours.advance(values, slope)
    np.testing.assert_allclose(values, parameter.detach().numpy(), rtol=1e-10)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.floats(0.0, 2.0))
def test_a_penalised_descent_ends_at_the_soft_threshold(seed: int, sparsity: float) -> None:
    """The minimum of 1/2 |λ - c|² + w |λ|₁ is sign(c) max(|c| - w, 0), with exact zeros."""
    centre = np.random.default_rng(seed).standard_normal((2, 3))
    values = np.full((2, 3), 0.3)
    for rate, n in ((1e-2, 1000), (1e-3, 600), (1e-5, 100)):
        values = steps(Adam(rate, sparsity=sparsity), centre, values, n)
    expected = np.sign(centre) * np.maximum(np.abs(centre) - sparsity / 3, 0.0)
    np.testing.assert_allclose(values, expected, atol=5e-3)
    if sparsity > 0.1:
        clear = np.abs(np.abs(centre) - sparsity / 3) > 0.05
        assert np.array_equal((values == 0.0)[clear], (expected == 0.0)[clear])


def projected(point: Values, radius: float = 1.0) -> Values:
    """Return the nearest point of {λ >= 0, Σλ <= radius}, by bisection."""
    if np.maximum(point, 0).sum() <= radius:
        return np.maximum(point, 0)
    low, high = 0.0, float(np.abs(point).max())
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(point - middle, 0).sum() > radius else (low, middle)
    return np.maximum(point - low, 0)


def test_frank_wolfe_comes_to_the_nearest_point_of_the_hull_and_leaves_irrelevant_parents_at_zero() -> None:
    centre = np.full((20, 1), -0.5)
    centre[[3, 11]] = [[0.7], [0.6]]
    found = steps(FrankWolfe(), centre, np.zeros((20, 1)), 2000)
    np.testing.assert_allclose(found, projected(centre), atol=2e-3)
    assert np.flatnonzero(found).tolist() == [3, 11]


def test_frank_wolfe_first_goes_to_the_parent_of_the_steepest_descent_or_stays_at_the_base() -> None:
    slope = np.array([[-1.0, 2.0], [0.5, -3.0], [0.0, 0.0]])
    start = np.zeros((3, 2))
    together = FrankWolfe(0.8).advance(start, slope)
    assert together.tolist() == [[0.0, 0.0], [0.8, 0.8], [0.0, 0.0]]
    alone = FrankWolfe(0.8, together=False).advance(start, slope)
    assert alone.tolist() == [[0.8, 0.0], [0.0, 0.8], [0.0, 0.0]]
    assert FrankWolfe().advance(start, np.abs(slope)).tolist() == start.tolist()


def test_the_start_of_frank_wolfe_is_a_vertex() -> None:
    """As in the released code, whose pool holds the initial merge."""
    stepper, start = FrankWolfe(scale=0.5), np.full((2, 1), 0.3)
    there = stepper.advance(start, np.array([[-1.0], [1.0]]))
    assert there.ravel().tolist() == pytest.approx([0.65, 0.15])
    back = stepper.advance(there, np.array([[-0.1], [-4.0]]) * 0 + np.array([[3.0], [-4.0]]))
    assert back.ravel().tolist() == pytest.approx([0.65 * (2 / 3), 0.15 * (2 / 3) + 1 / 3])


@pytest.mark.parametrize("make", [lambda: Adam(0.03, sparsity=0.2), lambda: FrankWolfe(scale=0.3)])
def test_a_stepper_goes_on_from_its_state_bit_for_bit(make) -> None:
    centre, start = np.random.default_rng(1).random((2, 3, 4))
    whole = make()
    middle = steps(whole, centre, start, 7)
    copy = make()
    copy.restore(whole.state())
    assert np.array_equal(steps(copy, centre, middle, 5), steps(whole, centre, middle, 5))
    fresh = make()
    fresh.restore(make().state())
    assert np.array_equal(steps(fresh, centre, start, 7), middle)
