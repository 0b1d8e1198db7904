"""Answers are allocated within budgets, to those who may be the best, and everything answered finds the best."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from experiments.reduction.allocation import FIRST, Asked, allocation
from experiments.reduction.draws import Draw

N_CANDIDATES, N_ITEMS = 24, 90


@pytest.fixture(scope="module")
def searched() -> tuple[Draw, np.ndarray]:
    """Three tasks; abilities are linear in two genes."""
    rng = np.random.default_rng(0)
    points = rng.random((N_CANDIDATES, 2))
    chances = expit(4.0 * (points.sum(axis=1) - 1.0)[:, None] + rng.normal(0.0, 1.0, N_ITEMS))
    scores = (rng.random(chances.shape) < chances).astype(np.float64)
    task = np.arange(N_ITEMS) % 3
    items = tuple(f"{t}/{i}" for i, t in enumerate(task))
    return Draw(scores, task, items, np.arange(N_CANDIDATES), np.arange(N_ITEMS)), points


def test_at_first_everybody_answers_as_many_of_each_task_and_every_item_is_answered_as_often(
    searched: tuple[Draw, np.ndarray],
) -> None:
    draw, points = searched
    shown = Asked(draw, points, seed=1).shown
    for task in range(3):
        assert (shown[:, draw.task == task].sum(axis=1) == FIRST / 3).all()
    assert np.ptp(shown.sum(axis=0)) <= 1


def test_no_budget_is_overdrawn_and_everything_answered_finds_the_best(searched: tuple[Draw, np.ndarray]) -> None:
    draw, points = searched
    budgets = [200, 700, draw.scores.size]
    picks = list(allocation(draw, points, budgets, seed=0))
    assert all(pick.evaluations <= budget for pick, budget in zip(picks, budgets, strict=True))
    truth = draw.means(draw.n_items)
    assert truth.max() - truth[picks[-1].candidate] <= 0.01
    assert picks[1].evaluations > 600


def test_the_better_half_answers_most(searched: tuple[Draw, np.ndarray]) -> None:
    draw, points = searched
    asked = Asked(draw, points, seed=0)
    means, covariance = asked.moments()
    assert means.shape == (N_CANDIDATES,)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
    truth = draw.means(draw.n_items)
    assert np.corrcoef(means, truth)[0, 1] > np.corrcoef(draw.means(FIRST), truth)[0, 1]


def test_the_same_seed_picks_the_same(searched: tuple[Draw, np.ndarray]) -> None:
    draw, points = searched
    assert list(allocation(draw, points, [300], seed=5)) == list(allocation(draw, points, [300], seed=5))
