"""Margins beside right and wrong: one dense regression of both, of use where they go together, harmless elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fitness.estimation.pooled import PooledResponses, Settings
from fitness.estimation.pooled.settings import MarginSettings
from fitness.scores import ItemScores
from tests.fitness.estimation.pooled.test_responses import SETTINGS, WORDS, answers, fitted, prior

Floats = NDArray[np.float64]


def with_margins(scores: ItemScores, margins: Floats) -> ItemScores:
    beside = [item.replace("words/", "words:signal/") for item in scores.item_ids]
    return ItemScores((*scores.item_ids, *beside), np.concatenate([scores.values, margins]))


def test_with_scores_beyond_zero_and_one_both_outputs_are_one_gaussian_process_regression() -> None:
    rng = np.random.default_rng(0)
    n, n_items, n_new = 9, 5, 4
    points, new = rng.random((n, 2)), rng.random((n_new, 2))
    own = answers(rng, n, n_items, 3)
    plain = [ItemScores(tuple(f"words/{j}" for j in js), rng.normal(-30, 6, 3)) for _, js in own]
    margins = [rng.normal(4, 2, 3) for _ in own]
    whole = Settings(np.array([0.7, 0.5]), signal=0.8, own=0.1, easiness=0.4, dispersion=0.3)
    both = MarginSettings(whole, alike=0.6, slope=0.5, noise=0.45)
    scores = [with_margins(*pair) for pair in zip(plain, margins, strict=True)]
    model = fitted(points, scores, n_items, replace(SETTINGS, margins=both))

    # Dense: y = f + b + noise and m = slope f + apart + b' + noise', both standardised, m without its outermost 2 %.
    y, m = np.concatenate([one.values for one in plain]), np.concatenate(margins)
    m = np.clip(m, *np.quantile(m, [0.02, 0.98]))
    rows = np.eye(n)[[i for one, _ in own for i in one]]
    columns = np.eye(n_items)[[j for _, js in own for j in js]]
    s, left = SETTINGS, 1.0 - 0.6**2
    f = prior(points, points, s) + s.own * np.eye(n)
    apart = prior(points, points, replace(whole, signal=left * 0.8)) + left * 0.1 * np.eye(n)
    of_y = rows @ f @ rows.T + s.easiness * columns @ columns.T + s.dispersion * np.eye(len(y))
    of_m = rows @ (0.5**2 * f + apart) @ rows.T + 0.4 * columns @ columns.T + 0.45 * np.eye(len(m))
    between = 0.5 * rows @ f @ rows.T
    joint = np.block([[of_y, between], [between.T, of_m]])
    across_f = prior(new, points, s) @ rows.T
    across = np.hstack([across_f + s.easiness / n_items * np.ones((n_new, n_items)) @ columns.T, 0.5 * across_f])
    seen = np.concatenate([(y - y.mean()) / y.std(), (m - m.mean()) / m.std()])
    means = y.mean() + y.std() * across @ np.linalg.solve(joint, seen)
    at_new = prior(new, new, s) + s.easiness / n_items
    covariance = y.std() ** 2 * (at_new - across @ np.linalg.solve(joint, across.T))

    found = model.objectives(new)
    np.testing.assert_allclose(found.means[:, 0], means, rtol=1e-7)
    np.testing.assert_allclose(found.covariances[0], covariance, rtol=1e-6, atol=1e-8)


def world(seed: int, apart: float) -> tuple[Floats, list[ItemScores], list[ItemScores], Floats, list[str]]:
    """Return genes, answers without and with margins, and full scores: right is what is above 0 of an answer's margin.

    `apart` is how much margins have of their own that depends on the genes and not on what is right.
    """
    rng = np.random.default_rng([seed, 11])
    n, n_items, each = 50, 80, 6
    genes = rng.random((n, 3))
    ability, other = (np.sin(3 * genes @ rng.normal(size=3)) for _ in range(2))
    latent = 1.5 * ability[:, None] + rng.normal(size=n_items) + rng.normal(size=(n, n_items))
    right, margins = (latent > 0.0).astype(float), latent + apart * other[:, None]
    chosen = [rng.permutation(n_items)[:each] for _ in range(n)]
    plain = [ItemScores(tuple(f"words/{j}" for j in js), right[i, js]) for i, js in enumerate(chosen)]
    both = [with_margins(one, margins[i, js]) for i, (one, js) in enumerate(zip(plain, chosen, strict=True))]
    return genes, plain, both, right.mean(axis=1), [f"words/{j}" for j in range(n_items)]


@pytest.mark.parametrize(("apart", "at_most"), [(0.0, 0.95), (6.0, 1.05)])
def test_margins_make_estimates_better_where_they_tell_of_right_and_wrong_and_hardly_worse_elsewhere(
    apart: float, at_most: float
) -> None:
    errors = np.zeros((4, 2))
    for seed in range(4):
        genes, *kinds, truth, items = world(seed, apart)
        for k, scores in enumerate(kinds):
            task_of = dict.fromkeys(items, "words")
            model = PooledResponses.fit(genes, scores, WORDS, items=items, task_of=task_of)
            errors[seed, k] = np.sqrt(np.mean((model.candidates().means[:, 0] - truth) ** 2))
    assert errors[:, 1].mean() < at_most * errors[:, 0].mean()


def test_settings_go_on_from_those_of_an_earlier_fit_and_the_same_answers_give_the_same_model() -> None:
    genes, _, both, _, items = world(0, 0.0)
    given: dict[str, Any] = {"items": items, "task_of": dict.fromkeys(items, "words")}
    model = PooledResponses.fit(genes, both, WORDS, **given)
    again = PooledResponses.fit(genes, both, WORDS, **given)
    kept = PooledResponses.fit(genes, both, WORDS, **given, settings=model.settings, rounds=0)
    np.testing.assert_array_equal(again.candidates().means, model.candidates().means)
    np.testing.assert_array_equal(kept.candidates().means, model.candidates().means)
    assert model.settings[0].margins is not None
    assert model.settings[0].margins.alike > 0.8
