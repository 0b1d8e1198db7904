"""Posterior means over a population: closed forms where there are some, simulations with a known truth elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.estimation.population import posterior


def test_many_normal_candidates_have_the_closed_form_of_normal_and_normal():
    rng = np.random.default_rng(0)
    truths = rng.normal(0.6, 0.04, 3000)
    seen = truths + rng.normal(0, 0.03, len(truths))
    found = posterior(seen[:, None], np.full((len(seen), 1), 0.03**2))
    left = 0.03**2 / (0.03**2 + 0.04**2)
    np.testing.assert_allclose(found.values[:, 0], 0.6 + (1 - left) * (seen - 0.6), atol=0.006)
    assert found.variances.mean() == pytest.approx(left * 0.04**2, rel=0.1)


def test_two_objectives_on_a_trade_off_are_shrunk_along_their_sum_only():
    rng = np.random.default_rng(1)
    side = rng.normal(0, 0.15, 400)
    truths = 0.5 + np.stack([side, -side], axis=1)
    seen = truths + rng.normal(0, 0.03, truths.shape)
    found = posterior(seen, np.full(seen.shape, 0.03**2)).values
    assert found.mean(axis=1).std() < 0.4 * seen.mean(axis=1).std()
    assert np.diff(found, axis=1).std() == pytest.approx(np.diff(seen, axis=1).std(), rel=0.05)


def population(kind: str, n: int, rng: np.random.Generator):
    if kind == "equal":
        return np.zeros(n)
    if kind == "none much better":
        return -np.abs(rng.normal(0, 1, n))
    if kind == "converging":
        age = np.exp(-6 * np.arange(n) / n)
        return -8 * age + rng.normal(0, 0.5, n) * (1 + 3 * age)
    return rng.normal(0, 3 if kind == "wide" else 1, n)


@pytest.mark.parametrize("n", [4, 40])
@pytest.mark.parametrize("kind", ["equal", "as wide as the errors", "wide", "none much better", "converging"])
def test_the_top_pick_is_not_over_estimated_and_its_interval_covers(kind, n):
    """Errors are of 1; without shrinkage the best of 40 equal candidates is 2.2 too high."""
    rng = np.random.default_rng([n, len(kind)])
    over, inside = [], []
    for _ in range(60):
        truths = population(kind, n, rng)
        found = posterior((truths + rng.normal(0, 1, n))[:, None], np.ones((n, 1)))
        top = int(found.values.argmax())
        over.append(found.values[top, 0] - truths[top])
        inside.append(abs(over[-1]) <= 1.96 * np.sqrt(found.variances[top, 0]))
    assert np.mean(over) < 0.55
    assert np.mean(inside) >= 0.9


def test_a_lone_candidate_and_exact_estimates_stay_as_they_are():
    alone = posterior(np.array([[0.7, 0.2]]), np.full((1, 2), 0.01))
    exact = posterior(np.array([[0.7], [0.5]]), np.zeros((2, 1)))
    assert alone.values.tolist() == [[0.7, 0.2]]
    assert exact.values.tolist() == [[0.7], [0.5]]
    assert posterior(np.empty((0, 2)), np.empty((0, 2))).values.shape == (0, 2)


@pytest.mark.parametrize("error", [0.0, 1e-17, 1e-9, 1e-5, 1e-3])
def test_estimates_with_hardly_any_error_stay_as_they_are(error):
    values = np.stack([np.arange(1, 21) / 21, np.arange(20)[::-1] ** 2 / 400], axis=1)
    found = posterior(values, np.full(values.shape, error**2))
    np.testing.assert_allclose(found.values, values, atol=3 * error)
    assert (found.variances <= 1.1 * error**2).all()


@settings(max_examples=25)
@given(st.integers(2, 30), st.integers(1, 4), st.integers(0, 1000), st.floats(-3, 3), st.floats(0.01, 50))
def test_the_unit_of_scores_does_not_matter(n, m, seed, shift, unit):
    rng = np.random.default_rng(seed)
    values, variances = rng.random((n, m)), rng.uniform(0.001, 0.02, (n, m))
    plain = posterior(values, variances)
    other = posterior(shift + unit * values, unit**2 * variances)
    np.testing.assert_allclose(other.values, shift + unit * plain.values, atol=1e-4 * unit)
    assert np.isfinite(plain.values).all()
    assert (plain.variances >= 0.0).all()


def test_the_order_along_one_objective_stays_where_errors_are_equal():
    values = np.sort(np.random.default_rng(5).normal(0, 1, 200))[:, None]
    found = posterior(values, np.full(values.shape, 0.5)).values[:, 0]
    assert (np.diff(found) >= -1e-9).all()
