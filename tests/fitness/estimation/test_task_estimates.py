from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.estimation.ability import Coordinates
from fitness.estimation.item_response import BankTask, ItemBank, Respondent, Seen
from fitness.estimation.response_model import ItemParameters, fit
from fitness.estimation.task_estimates import (
    ESTIMATORS,
    Answers,
    TaskEstimate,
    anchor_weighted,
    blended,
    gmp_share,
    gp_share,
    plain_mean,
)
from tests.fitness.reduction.worlds import ENDPOINTS, world

N = 200


def bank(n=N, guessing=0.0, seed=0) -> ItemBank:
    rng = np.random.default_rng(seed)
    items = ItemParameters(rng.normal(1, 0.5, (n, 2)), rng.normal(0, 1.5, n), np.full(n, guessing))
    endpoints = {"a": np.array([1.0, -0.5]), "b": np.array([-0.5, 1.2])}
    return ItemBank(items, endpoints, (BankTask("t", np.arange(n), irt_error=0.02),))


def seen(scores, items=None, weights=None) -> list[Seen]:
    items = np.arange(len(scores)) if items is None else items
    return [Seen(items, np.asarray(scores, float), np.ones(len(scores)) if weights is None else weights)]


@given(st.integers(1, 40), st.integers(0, 100))
def test_all_items_give_the_plain_mean_whatever_the_estimator_and_no_error(n, seed):
    scores = np.random.default_rng(seed).random(n)
    weights = np.random.default_rng(seed + 1).random(n) + 0.1
    respondent = Respondent(bank(n), seen(scores, weights=weights))
    for estimator in ESTIMATORS:
        assert respondent.estimate(0, estimator) == TaskEstimate(pytest.approx(scores.mean()), 0.0)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("guessing", [0.0, 0.25])
@pytest.mark.parametrize("score", [0.0, 1.0])
@pytest.mark.parametrize("n", [1, 20])
def test_all_right_and_all_wrong_are_finite_and_within_bounds(estimator, guessing, score, n):
    found = Respondent(bank(guessing=guessing), seen(np.full(n, score))).estimate(0, estimator)
    assert 0.0 <= found.value <= 1.0
    assert 0.0 < found.variance < 0.35


def test_the_mean_and_the_anchors_by_hand():
    answers = Answers(np.array([1.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.2, 0.3, 0.4]), 40)
    variance = np.var([1, 0, 1, 1, 0, 1], ddof=1)
    assert plain_mean(answers) == TaskEstimate(0.75, pytest.approx(0.9 * variance / 4))
    assert anchor_weighted(answers) == TaskEstimate(pytest.approx(0.8), pytest.approx(0.9 * variance * 0.3))


def test_the_share_of_the_anchors_in_gp_irt():
    assert gp_share(0.25, 100, 0.02) == pytest.approx(0.390, abs=5e-4)
    assert gp_share(0.25, 100, 0.0) == 0.0


def test_the_share_of_the_anchors_in_gmp_irt_grows_with_the_bias():
    mixture, anchors = TaskEstimate(0.5, 0.001), TaskEstimate(0.6, 0.004)
    assert gmp_share(mixture, anchors, 0.003) == pytest.approx(0.5)
    assert gmp_share(mixture, anchors, 0.0) == pytest.approx(0.0011 / 0.0051)
    assert blended(anchors, mixture, 0.25) == TaskEstimate(pytest.approx(0.525), pytest.approx(0.0008125))


def test_a_mixture_of_one_endpoint_alone_has_its_accuracy():
    simulated = world("linear", 0, n_models=60, n_items=1000)
    fitted = fit(simulated.scores, dims=2)
    endpoints = {name: fitted.abilities[i] for i, name in enumerate(ENDPOINTS)}
    mixture = Coordinates.mixture(fitted.items, endpoints, ridge=1.0)
    for i in range(len(ENDPOINTS)):
        accuracy = mixture.probabilities(np.eye(len(ENDPOINTS))[i]).mean()
        assert accuracy == pytest.approx(simulated.scores[i].mean(), abs=0.02)


def test_p_irt_knows_that_the_answered_items_were_easy():
    items = bank()
    p = items.parameters.probabilities(np.array([[0.3, 0.3]]))[0]
    easy = np.sort(np.argsort(-p)[:40])
    respondent = Respondent(items, seen(p[easy], easy))
    assert respondent.estimate(0, "p-irt").value == pytest.approx(p.mean(), abs=0.03)
    assert respondent.estimate(0, "mean").value > p.mean() + 0.2


@pytest.mark.parametrize("estimator", ["p-irt", "gp-irt", "mp-irt", "gmp-irt"])
def test_a_broken_merge_falls_back_to_the_mean(estimator):
    rng = np.random.default_rng(0)
    items = np.sort(rng.permutation(N)[:40])
    respondent = Respondent(bank(), seen(rng.random(40) < 0.08, items))
    assert respondent.falls_back(0, estimator)
    assert respondent.estimate(0, estimator) == respondent.estimate(0, "mean")


def weak_bank(sign: int = 1) -> ItemBank:
    """Items that hardly tell models apart: nobody of the population has much more, or less, than 0.65 right."""
    items = ItemParameters(np.full((N, 1), sign * 0.3), np.full(N, sign * 0.6), np.zeros(N))
    return ItemBank(items, {"a": np.array([0.0]), "b": np.array([0.2])}, (BankTask("t", np.arange(N)),))


@pytest.mark.parametrize("estimator", ["p-irt", "mp-irt"])
@pytest.mark.parametrize("right", [0, 10])
def test_who_is_much_better_than_the_model_falls_back_as_well_as_who_is_much_worse(estimator, right):
    respondent = Respondent(weak_bank(), seen(np.arange(10) < right))
    assert respondent.falls_back(0, estimator)
    assert respondent.estimate(0, estimator).value == right / 10


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.sampled_from(["p-irt", "gp-irt", "mp-irt", "gmp-irt"]))
def test_right_and_wrong_are_treated_alike(answers, estimator):
    """Where right is called wrong, in answers and items, the estimate is one less what it was, and as sure."""
    right = np.array(answers, float)
    found = Respondent(weak_bank(), seen(right)).estimate(0, estimator)
    other = Respondent(weak_bank(-1), seen(1.0 - right)).estimate(0, estimator)
    assert other.value == pytest.approx(1.0 - found.value, abs=1e-6)
    assert other.variance == pytest.approx(found.variance, rel=1e-5)


@pytest.mark.parametrize("estimator", ["p-irt", "mp-irt"])
def test_few_merges_that_fit_fall_back(estimator):
    items = bank()
    rng = np.random.default_rng(1)
    back = []
    for _ in range(200):
        ability = np.stack(list(items.endpoints.values())).T @ rng.dirichlet([1.0, 1.0])
        answers = rng.random(N) < items.parameters.probabilities(ability[None])[0]
        chosen = np.sort(rng.permutation(N)[:40])
        back.append(Respondent(items, seen(answers[chosen], chosen)).falls_back(0, estimator))
    assert np.mean(back) < 0.1


def test_scores_beyond_zero_and_one_have_the_mean():
    items = bank()
    items = ItemBank(items.parameters, items.endpoints, (BankTask("t", np.arange(N), modelled=False),))
    respondent = Respondent(items, seen([-3.0, 2.0, 0.5]))
    assert respondent.estimate(0, "gmp-irt") == respondent.estimate(0, "mean")
    assert respondent.estimate(0, "mean").value == pytest.approx(-1 / 6)
    assert items.estimators == ("mean", "anchor")


def test_own_shares_move_a_mixture_of_few_answers():
    items = bank()
    truth = items.parameters.probabilities(items.endpoints["a"][None])[0]
    few = seen(truth[:3], np.arange(3))
    own = Respondent(items, few, {"a": 1.0, "b": 0.0}).estimate(0, "mp-irt").value
    equal = Respondent(items, few).estimate(0, "mp-irt").value
    assert abs(own - truth.mean()) < abs(equal - truth.mean())
