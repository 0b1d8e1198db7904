from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from fitness.estimation.ability import Coordinates, fit_ability
from fitness.estimation.link import log_likelihood
from fitness.estimation.response_model import ItemParameters


def items(n=1000, dims=2, guessing=0.0, seed=0) -> ItemParameters:
    rng = np.random.default_rng(seed)
    return ItemParameters(rng.normal(1, 0.5, (n, dims)), rng.normal(0, 1.5, n), np.full(n, guessing))


def answers(parameters, ability, seed=1):
    p = parameters.probabilities(ability[None])[0]
    return (np.random.default_rng(seed).random(len(p)) < p).astype(np.float64)


def test_abilities_are_recovered_from_a_thousand_items():
    parameters = items()
    truth = np.random.default_rng(2).normal(size=(60, 2))
    free = Coordinates.free(parameters)
    found = np.array([fit_ability(free, answers(parameters, gamma, seed)).value for seed, gamma in enumerate(truth)])
    for k in range(2):
        assert np.corrcoef(found[:, k], truth[:, k])[0, 1] > 0.95


@pytest.mark.parametrize("guessing", [0.0, 0.25])
def test_newton_finds_what_a_general_optimiser_finds(guessing):
    parameters = items(40, 3, guessing)
    free = Coordinates.free(parameters)
    y = answers(parameters, np.array([0.5, -1.0, 0.2]))

    def loss(x):
        eta = parameters.intercepts + parameters.discriminations @ x
        return -float(log_likelihood(y, eta, parameters.guessing).sum()) + 0.5 * float(x @ x)

    found = fit_ability(free, y)
    reference = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-8})
    assert found.converged
    np.testing.assert_allclose(found.value, reference.x, atol=1e-4)


def test_standard_errors_are_the_spread_of_repeated_answers():
    parameters = items(200, 1)
    free = Coordinates.free(parameters)
    fits = [fit_ability(free, answers(parameters, np.array([0.4]), seed)) for seed in range(400)]
    spread = np.std([f.value[0] for f in fits])
    assert np.mean([f.stderrs[0] for f in fits]) == pytest.approx(spread, rel=0.12)


@pytest.mark.parametrize("score", [0.0, 1.0])
@pytest.mark.parametrize("guessing", [0.0, 0.25])
@pytest.mark.parametrize("n", [1, 20])
def test_all_right_and_all_wrong_are_finite(score, guessing, n):
    parameters = items(n, 5, guessing)
    found = fit_ability(Coordinates.free(parameters), np.full(n, score))
    assert found.converged
    assert np.isfinite(found.covariance).all()
    assert np.abs(found.value).max() < 5.0


def test_no_answers_give_the_prior():
    parameters = items(0, 2)
    found = fit_ability(Coordinates.free(parameters), np.empty(0))
    np.testing.assert_array_equal(found.value, np.zeros(2))
    np.testing.assert_allclose(found.covariance, np.eye(2))


def test_a_mixture_begins_at_equal_shares_or_at_the_merge_weights():
    parameters = items(0, 2)
    endpoints = {"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0])}
    equal = fit_ability(Coordinates.mixture(parameters, endpoints, ridge=1.0), np.empty(0))
    shares = {"a": 0.9, "c": 0.1}
    own = fit_ability(Coordinates.mixture(parameters, endpoints, shares=shares, ridge=1.0), np.empty(0))
    np.testing.assert_array_equal(equal.value, [0.5, 0.5])
    np.testing.assert_array_equal(own.value, [0.9, 0.0])


def test_endpoints_that_are_the_same_share_evenly():
    parameters = items(300, 2)
    gamma = np.array([0.8, 0.3])
    mixture = Coordinates.mixture(parameters, {"a": gamma, "b": gamma}, ridge=0.1)
    found = fit_ability(mixture, answers(parameters, gamma))
    assert found.value[0] == pytest.approx(found.value[1], abs=1e-9)
    assert found.value.sum() == pytest.approx(1.0, abs=0.3)


@given(st.integers(0, 200), st.floats(0, 1), st.sampled_from([0.0, 0.25]))
def test_any_graded_answers_converge(seed, score, guessing):
    parameters = items(12, 2, guessing, seed)
    found = fit_ability(Coordinates.free(parameters), np.full(12, score))
    assert found.converged
    p = Coordinates.free(parameters).probabilities(found.value)
    assert ((p >= 0.0) & (p <= 1.0)).all()
