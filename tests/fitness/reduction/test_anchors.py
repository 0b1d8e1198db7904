from __future__ import annotations

import numpy as np
import pytest

from fitness.errors import FitnessError
from fitness.estimation.response_model import FittedModel, ItemParameters, fit
from fitness.reduction.anchors import METHODS, TaskResponses, choose_anchors


def task(n_models=30, n_items=60, seed=0) -> TaskResponses:
    rng = np.random.default_rng(seed)
    scores = (rng.random((n_models, n_items)) < rng.random(n_items)).astype(np.float64)
    return TaskResponses(scores, fit(scores))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 7, 59, 60])
def test_anchors_are_different_items_with_weights_that_sum_to_one(method, n):
    chosen = choose_anchors(method, task(), n, np.random.default_rng(0))
    assert len(set(chosen.items.tolist())) == n
    assert chosen.items.tolist() == sorted(chosen.items.tolist())
    assert (chosen.weights > 0.0).all()
    assert chosen.weights.sum() == pytest.approx(1.0)
    if n == 60:
        np.testing.assert_allclose(chosen.weights, 1 / 60)


@pytest.mark.parametrize("method", METHODS)
def test_equal_seeds_choose_equal_anchors(method):
    a, b = (choose_anchors(method, task(), 10, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(a.items, b.items)
    np.testing.assert_array_equal(a.weights, b.weights)


def test_an_anchor_speaks_for_the_items_that_are_like_it():
    pattern = np.array([[1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 1, 0]], dtype=float)
    copies = [0] * 12 + [1] * 6 + [2] * 2
    scores = pattern[:, copies]
    fitted = FittedModel(ItemParameters(np.ones((20, 1)), np.zeros(20), np.zeros(20)), np.zeros((3, 1)), "2pl")
    chosen = choose_anchors("responses", TaskResponses(scores, fitted), 3, np.random.default_rng(0))
    assert sorted(chosen.weights.tolist()) == pytest.approx([0.1, 0.3, 0.6])
    np.testing.assert_allclose(scores[:, chosen.items] @ chosen.weights, scores.mean(axis=1))


def test_items_that_are_all_the_same_still_give_different_anchors():
    fitted = FittedModel(ItemParameters(np.ones((9, 1)), np.zeros(9), np.zeros(9)), np.zeros((3, 1)), "2pl")
    same = TaskResponses(np.ones((3, 9)), fitted)
    for method in METHODS:
        assert len(set(choose_anchors(method, same, 4, np.random.default_rng(0)).items.tolist())) == 4


def test_strata_span_easy_and_hard_items():
    scores = np.tile(np.linspace(0, 1, 40), (5, 1))
    fitted = FittedModel(ItemParameters(np.ones((40, 1)), np.zeros(40), np.zeros(40)), np.zeros((5, 1)), "2pl")
    chosen = choose_anchors("stratified", TaskResponses(scores, fitted), 8, np.random.default_rng(0))
    assert [item // 5 for item in chosen.items.tolist()] == list(range(8))


def test_information_prefers_items_that_tell_models_apart():
    slopes = np.array([[0.1], [2.0], [0.2], [1.8], [0.1]])
    fitted = FittedModel(ItemParameters(slopes, np.zeros(5), np.zeros(5)), np.linspace(-1, 1, 9)[:, None], "2pl")
    chosen = choose_anchors("information", TaskResponses(np.ones((9, 5)), fitted), 2, np.random.default_rng(0))
    assert chosen.items.tolist() == [1, 3]


@pytest.mark.parametrize("n", [0, 61])
def test_a_number_that_the_task_does_not_have_is_refused(n):
    with pytest.raises(FitnessError, match=f"from 1 to 60, all items of the task, found {n}"):
        choose_anchors("uniform", task(), n, np.random.default_rng(0))
