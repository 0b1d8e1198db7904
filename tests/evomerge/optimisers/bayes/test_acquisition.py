"""Draws agree with the posterior that they are from, and gains with volumes computed by others."""

from __future__ import annotations

import moocore
import numpy as np
import pytest
import torch

from evomerge.optimisers.bayes.acquisition import Gain
from evomerge.optimisers.bayes.draws import Draws
from evomerge.optimisers.bayes.features import Features
from fitness.estimation import Objective
from fitness.estimation.pooled import PooledResponses
from fitness.scores import ItemScores
from tests.evomerge.optimisers.bayes.quick import numbers

ITEMS = [f"{task}/{j}" for task in "ab" for j in range(30)]
TASK_OF = {item: item[0] for item in ITEMS}


@pytest.fixture(scope="module")
def model() -> PooledResponses:
    """A model of two objectives that share a task, one candidate without a point."""
    rng = np.random.default_rng(0)
    genes = rng.random((25, 2))
    scores = []
    for x in genes:
        own = rng.permutation(60)[:20]
        chance = 1 / (1 + np.exp(-3 * (x[own // 30] - 0.4)))
        scores.append(ItemScores(tuple(ITEMS[j] for j in own), rng.random(20) < chance))
    genes[7] = np.nan
    objectives = [Objective("first", ("a",)), Objective("both", ("a", "b"))]
    return PooledResponses.fit(genes, scores, objectives, items=ITEMS, task_of=TASK_OF)


def drawn(model: PooledResponses, n: int) -> Draws:
    return Draws(model.paths(n, np.random.default_rng(1)), Features(numbers(2)).of_tensor)


def test_draws_have_the_means_and_covariances_of_the_posterior(model: PooledResponses) -> None:
    at = np.array([[0.1, 0.2], [0.15, 0.2], [0.8, 0.9], [0.5, 0.5]])
    expected = model.objectives(at)
    found = drawn(model, 4000).values(torch.from_numpy(at)).numpy()
    np.testing.assert_allclose(found.mean(axis=0), expected.means, atol=0.012)
    for k in range(2):
        np.testing.assert_allclose(np.cov(found[:, :, k].T), expected.covariances[k], atol=0.0015)


def test_the_slope_of_a_draw_is_that_of_finite_differences(model: PooledResponses) -> None:
    draws = drawn(model, 3)
    at = torch.tensor([[0.31, 0.62]], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(draws.values(at).sum(), at)
    with torch.no_grad():
        steps = 1e-4 * torch.eye(2, dtype=torch.float64)
        differences = (draws.values(at + steps) - draws.values(at - steps)).sum(dim=(0, 2)) / 2e-4
    np.testing.assert_allclose(slope[0], differences, rtol=0.02, atol=1e-3)


def test_gains_of_a_front_are_in_proportion_to_the_volume_that_is_added_in_each_draw(model: PooledResponses) -> None:
    rng = np.random.default_rng(2)
    held, new = rng.random((12, 2)), rng.random((40, 2))
    draws = drawn(model, 24)
    gain = Gain(draws, torch.from_numpy(held), None, 0)
    found = np.exp(gain.log_values(torch.from_numpy(new)).numpy())

    had, got = (draws.values(torch.from_numpy(x)).numpy() for x in (held, new))
    low, high = had.mean(axis=0).min(axis=0), had.mean(axis=0).max(axis=0)
    had, got = (had - low) / (high - low), (got - low) / (high - low)
    volume = lambda points: moocore.hypervolume(-points, ref=np.zeros(2))  # noqa: E731
    added = [
        np.mean([volume(np.vstack([had[s], got[s, i : i + 1]])) - volume(had[s]) for s in range(24)])
        for i in range(len(new))
    ]
    assert np.corrcoef(found, added)[0, 1] > 0.97
    assert abs(int(found.argmax()) - int(np.argmax(added))) == 0


def test_the_gain_of_one_objective_is_expected_improvement_also_what_is_left() -> None:
    rng = np.random.default_rng(3)
    genes = rng.random((10, 2))
    values = [ItemScores(("a/0",), np.array([0.3 + 0.4 * x[0]])) for x in genes]
    model = PooledResponses.fit(genes, values, [Objective("a", ("a",))], items=["a/0"], task_of={"a/0": "a"})
    draws = drawn(model, 200)
    new = rng.random((30, 2))
    gain = Gain(draws, torch.from_numpy(genes), None, 0)
    had, got = (draws.values(torch.from_numpy(x)).numpy()[:, :, 0] for x in (genes, new))
    improvement = np.maximum(got - had.max(axis=1, keepdims=True), 0.0).mean(axis=0)
    found = np.exp(gain.log_values(torch.from_numpy(new)).numpy())
    assert np.corrcoef(found, improvement)[0, 1] > 0.99
    assert gain.left(torch.from_numpy(new)) == pytest.approx(improvement.max(), rel=0.05)


def test_what_is_pending_counts_as_had(model: PooledResponses) -> None:
    rng = np.random.default_rng(4)
    held, new = torch.from_numpy(rng.random((6, 2))), torch.tensor([[0.95, 0.95]], dtype=torch.float64)
    draws = drawn(model, 50)
    before = Gain(draws, held, None, 0).left(new)
    assert before > 10 * Gain(draws, torch.cat([held, new]), None, 0).left(new)
