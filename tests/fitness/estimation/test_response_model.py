from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from fitness.errors import FitnessError
from fitness.estimation.link import information, log_likelihood, predicted, score_slope, sigmoid
from fitness.estimation.response_model import ItemParameters, fit


def simulated(*, n_models=200, n_items=600, dims=1, guessing=0.0, common=False, seed=0):
    rng = np.random.default_rng(seed)
    abilities = rng.normal(size=(n_models, dims))
    slopes = np.ones((n_items, dims)) if common else np.abs(rng.normal(1, 0.4, (n_items, dims)))
    items = ItemParameters(slopes, rng.normal(0, 1.5, n_items), np.full(n_items, guessing))
    scores = (rng.random((n_models, n_items)) < items.probabilities(abilities)).astype(np.float64)
    return abilities, items, scores


def correlation(a, b):
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def explained(found, truth):
    """Correlations of the true abilities with their best linear reconstruction: axes may be turned."""
    turn = np.linalg.lstsq(found, truth, rcond=None)[0]
    return [correlation((found @ turn)[:, k], truth[:, k]) for k in range(truth.shape[1])]


@pytest.mark.parametrize(
    ("form", "dims", "floor"), [("1pl", 1, 0.0), ("2pl", 1, 0.0), ("2pl", 2, 0.0), ("3pl", 1, 0.25)]
)
def test_simulated_parameters_are_recovered(form, dims, floor):
    abilities, items, scores = simulated(dims=dims, guessing=floor, common=form == "1pl")
    fitted = fit(scores, form, dims=dims, guessing=items.guessing if floor else None)
    assert min(explained(fitted.abilities, abilities)) > 0.95
    assert correlation(fitted.items.intercepts, items.intercepts) > 0.95
    assert correlation(fitted.items.probabilities(fitted.abilities), items.probabilities(abilities)) > 0.95
    if form == "1pl":
        assert np.ptp(fitted.items.discriminations) == 0.0


def test_abilities_are_whitened_and_every_axis_points_to_better_models():
    abilities, _, scores = simulated(dims=2)
    fitted = fit(scores, dims=2)
    np.testing.assert_allclose(fitted.abilities.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(fitted.abilities.T @ fitted.abilities / len(abilities), np.eye(2), atol=1e-8)
    assert (fitted.items.discriminations.sum(axis=0) >= 0.0).all()
    assert correlation(fitted.abilities[:, 0], scores.mean(axis=1)) > 0.8


def test_the_order_of_the_models_does_not_turn_an_axis():
    _, _, scores = simulated(n_models=60, n_items=100)
    a, b = fit(scores).abilities, fit(scores[::-1]).abilities[::-1]
    np.testing.assert_allclose(a, b, atol=0.02)


def test_missing_scores_have_no_influence_but_what_is_left_is_recovered():
    abilities, _, scores = simulated()
    hidden = scores.copy()
    hidden[np.random.default_rng(1).random(scores.shape) < 0.4] = np.nan
    fitted = fit(hidden)
    assert correlation(fitted.abilities, abilities) > 0.95
    other = np.where(np.isnan(hidden), np.nan, scores)
    np.testing.assert_array_equal(fit(other).abilities, fitted.abilities)


def test_graded_scores_are_recovered_without_thresholds():
    abilities, items, _ = simulated()
    rng = np.random.default_rng(2)
    p = items.probabilities(abilities)
    fitted = fit(rng.beta(5 * p, 5 * (1 - p)))
    assert correlation(fitted.abilities, abilities) > 0.98
    assert correlation(fitted.items.intercepts, items.intercepts) > 0.95


def test_items_that_all_or_no_models_get_right_stay_finite():
    _, _, scores = simulated(n_models=30, n_items=40)
    scores[:, 0], scores[:, 1], scores[0], scores[1] = 1.0, 0.0, 1.0, 0.0
    fitted = fit(scores)
    assert np.isfinite(fitted.abilities).all()
    rates = fitted.items.probabilities(fitted.abilities).mean(axis=0)
    assert rates[0] > 0.9
    assert rates[1] < 0.1


def test_models_that_are_all_the_same_have_the_mean_of_their_scores():
    scores = np.tile((np.arange(50) % 2).astype(float), (12, 1))
    fitted = fit(scores, dims=2)
    assert np.isfinite(fitted.abilities).all()
    assert np.abs(fitted.items.probabilities(fitted.abilities) - scores).max() < 0.15


def test_the_difficulty_of_py_irt_is_the_intercept_over_the_dimensions():
    _, items, _ = simulated(dims=5, n_items=20)
    back = ItemParameters.from_py_irt(items.discriminations, items.py_irt_difficulties)
    np.testing.assert_allclose(back.intercepts, items.intercepts, rtol=1e-14)
    # Its code sums a_d gamma_d - b over the dimensions, one b for all.
    gamma, a, b = np.full(5, 0.3), items.discriminations[0], items.py_irt_difficulties[0]
    by_hand = sigmoid(np.array(sum(a[d] * gamma[d] - b for d in range(5))))
    np.testing.assert_allclose(back.probabilities(gamma[None])[0, 0], by_hand, rtol=1e-12)


@pytest.mark.parametrize("guessing", [0.0, 0.25])
@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
def test_slope_and_information_are_derivatives_of_the_likelihood(guessing, score):
    for eta in (-4.0, -0.3, 0.0, 2.0):
        slope = approx_fprime(np.array([eta]), lambda x: float(log_likelihood(np.array(score), x[0], guessing)), 1e-6)
        assert float(score_slope(np.array(score), np.array(eta), guessing)) == pytest.approx(slope[0], abs=1e-4)
        p = float(predicted(np.array(eta), guessing))
        expected = p * float(score_slope(np.array(1.0), np.array(eta), guessing)) ** 2
        expected += (1 - p) * float(score_slope(np.array(0.0), np.array(eta), guessing)) ** 2
        assert float(information(np.array(eta), guessing)) == pytest.approx(expected, rel=1e-9)


def test_the_likelihood_is_finite_however_extreme_the_ability():
    eta = np.array([-1e4, -50.0, 50.0, 1e4])
    for guessing in (0.0, 0.2):
        for score in (0.0, 0.5, 1.0):
            assert np.isfinite(log_likelihood(np.full(4, score), eta, guessing)).all()
            assert np.isfinite(score_slope(np.full(4, score), eta, guessing)).all()


@pytest.mark.parametrize(
    ("scores", "arguments", "message"),
    [
        (np.ones(3), {}, "expected \\(n_models >= 2, n_items >= 1\\)"),
        (np.full((3, 3), 1.5), {}, "scores in \\[0, 1\\]"),
        (np.array([[1.0, np.nan], [0.0, np.nan]]), {}, "scores of every item, found none of number 1"),
        (np.array([[1.0, 0.0], [np.nan, np.nan]]), {}, "scores of every model, found none of number 1"),
        (np.eye(3), {"dims": 0}, "dims: expected at least 1, found 0"),
        (np.eye(3), {"form": "1pl", "dims": 2}, "dims: expected 1 with 1pl, found 2"),
        (np.eye(3), {"form": "3pl"}, "guessing: expected"),
        (np.eye(3), {"form": "3pl", "guessing": np.ones(3)}, "floors in \\[0, 1\\)"),
    ],
)
def test_responses_that_cannot_be_fitted_are_refused(scores, arguments, message):
    with pytest.raises(FitnessError, match=message):
        fit(scores, **arguments)
