"""The pooled model: equal to slow, dense formulas, and right about candidates that answered items of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from fitness.errors import FitnessError
from fitness.estimation import MeanEstimator, Objective
from fitness.estimation.pooled import PooledResponses, Settings
from fitness.scores import ItemScores
from fitness.splits import Splits

Floats = NDArray[np.float64]
WORDS = [Objective("words", ("words",))]
SETTINGS = Settings(np.array([0.4, 0.9]), signal=1.3, own=0.2, easiness=0.7, dispersion=0.5)


def items_of(task: str, n: int) -> list[str]:
    return [f"{task}/{j}" for j in range(n)]


def fitted(points: Floats, scores: Sequence[ItemScores], n_items: int, settings: Settings | None) -> PooledResponses:
    items = items_of("words", n_items)
    return PooledResponses.fit(
        points,
        scores,
        WORDS,
        items=items,
        task_of=dict.fromkeys(items, "words"),
        settings=None if settings is None else [settings],
        rounds=None if settings is None else 0,
    )


def prior(points: Floats, others: Floats, settings: Settings) -> Floats:
    """Return Matern 5/2 by its textbook formula, one pair after the other, with the variance of what all share."""
    found = np.empty((len(points), len(others)))
    for i, x in enumerate(points):
        for k, z in enumerate(others):
            r = np.sqrt((((x - z) / settings.lengths) ** 2).sum())
            found[i, k] = settings.signal * (1 + 5**0.5 * r + 5 / 3 * r**2) * np.exp(-(5**0.5) * r) + 9.0
    return found


def answers(rng: np.random.Generator, n: int, n_items: int, each: int) -> list[tuple[list[int], list[int]]]:
    """Return (candidates, items) of answers: each candidate has items of its own."""
    return [([i] * each, sorted(rng.permutation(n_items)[:each].tolist())) for i in range(n)]


def test_scores_beyond_zero_and_one_are_a_gaussian_process_regression_with_random_items() -> None:
    rng = np.random.default_rng(0)
    n, n_items = 9, 5
    points, new = rng.random((n, 2)), rng.random((4, 2))
    own = answers(rng, n, n_items, 3)
    scores = [ItemScores(tuple(f"words/{j}" for j in js), rng.normal(-30, 6, 3)) for _, js in own]
    model = fitted(points, scores, n_items, SETTINGS)

    # Dense: y = centre + scale * (f(x_i) + own_i + b_j + noise); the mean of f(new) + b over all items, given y.
    y = np.concatenate([one.values for one in scores])
    centre, scale = y.mean(), y.std()
    rows = np.eye(n)[[i for one, _ in own for i in one]]
    columns = np.eye(n_items)[[j for _, js in own for j in js]]
    s = SETTINGS
    k = prior(points, points, s) + s.own * np.eye(n)
    of_y = rows @ k @ rows.T + s.easiness * columns @ columns.T + s.dispersion * np.eye(len(y))
    across = prior(new, points, s) @ rows.T + s.easiness / n_items * np.ones((4, n_items)) @ columns.T
    at_new = prior(new, new, s) + s.easiness / n_items
    means = centre + scale * across @ np.linalg.solve(of_y, (y - centre) / scale)
    covariance = scale**2 * (at_new - across @ np.linalg.solve(of_y, across.T))

    found = model.objectives(new)
    np.testing.assert_allclose(found.means[:, 0], means, rtol=1e-9)
    np.testing.assert_allclose(found.covariances[0], covariance, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(model.marginals(new)[1][:, 0], np.diag(covariance), rtol=1e-7)


def test_right_or_wrong_answers_give_the_posterior_mode_that_a_general_optimiser_finds() -> None:
    from scipy.optimize import minimize

    rng = np.random.default_rng(1)
    n, n_items = 6, 4
    points = rng.random((n, 2))
    own = answers(rng, n, n_items, 3)
    scores = [ItemScores(tuple(f"words/{j}" for j in js), rng.integers(0, 2, 3)) for _, js in own]
    settings = Settings(SETTINGS.lengths, 1.3, 0.2, 0.7, 1.0)
    model = fitted(points, scores, n_items, settings)

    y = np.concatenate([one.values for one in scores])
    i, j = np.array([i for one, _ in own for i in one]), np.array([j for _, js in own for j in js])
    precision = np.zeros((n + n_items, n + n_items))
    precision[:n, :n] = np.linalg.inv(prior(points, points, settings) + 0.2 * np.eye(n))
    precision[n:, n:] = np.eye(n_items) / 0.7
    design = np.hstack([np.eye(n)[i], np.eye(n_items)[j]])

    def loss(u: Floats) -> float:
        eta = design @ u
        return float((np.logaddexp(0, eta) - y * eta).sum() + 0.5 * u @ precision @ u)

    u = minimize(loss, np.zeros(n + n_items), method="BFGS", options={"gtol": 1e-8}).x
    p = 1 / (1 + np.exp(-design @ u))
    covariance = np.linalg.inv(precision + design.T @ ((p * (1 - p))[:, None] * design))
    easiness, deviations = model.easiness
    np.testing.assert_allclose(easiness, u[n:], atol=1e-5)
    np.testing.assert_allclose(deviations, np.sqrt(np.diag(covariance)[n:]), rtol=1e-4)


def world(rng: np.random.Generator, n: int, n_items: int, each: int) -> tuple[Floats, list[ItemScores], Floats]:
    """Return genes, scores on `each` own items, and (n,) means over all items of what the candidates would answer."""
    points = rng.random((n, 4))
    ability = 2.5 * (points[:, 0] - 0.5) - 6.0 * (points[:, 1] - 0.6) ** 2 + rng.normal(0, 0.2, n)
    eta = ability[:, None] + rng.normal(0, 1.5, n_items)
    full = (rng.random((n, n_items)) < 1 / (1 + np.exp(-eta))).astype(np.float64)
    chosen = [rng.permutation(n_items)[:each] for _ in range(n)]
    scores = [ItemScores(tuple(f"words/{j}" for j in js), full[i, js]) for i, js in enumerate(chosen)]
    return points, scores, full.mean(axis=1)


def test_own_items_and_genes_tell_more_than_means_and_the_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(2)
    covered, gains = [], []
    for _ in range(4):
        points, scores, truth = world(rng, 120, 150, 10)
        found = fitted(points, scores, 150, None).candidates()
        covered.append(np.abs(found.means[:, 0] - truth) < 1.96 * found.stderrs[:, 0])
        raw = [one.values.mean() for one in scores]
        gains.append(np.corrcoef(found.means[:, 0], truth)[0, 1] - np.corrcoef(raw, truth)[0, 1])
    assert np.mean(gains) > 0.15
    assert 0.9 < np.mean(covered) < 0.99


def test_who_answered_everything_is_known_exactly() -> None:
    rng = np.random.default_rng(3)
    items = [*items_of("a", 5), *items_of("b", 3), *items_of("c", 4)]
    task_of = {item: item[0] for item in items}
    objectives = [Objective("both", ("a", "b")), Objective("all", ("a", "b", "c"))]
    scores = [ItemScores(tuple(items), rng.integers(0, 2, 12)) for _ in range(7)]
    model = PooledResponses.fit(rng.random((7, 3)), scores, objectives, items=items, task_of=task_of)
    plain = MeanEstimator(objectives, task_of=task_of, splits=Splits({"search": tuple(items)}))
    expected = [[o.value for o in plain.estimate(one).objectives] for one in scores]
    found = model.candidates()
    np.testing.assert_allclose(found.means, expected, atol=1e-12)
    np.testing.assert_allclose(found.stderrs, 0.0, atol=1e-7)


def test_a_candidate_without_a_point_tells_of_items_only() -> None:
    rng = np.random.default_rng(4)
    points, scores, _ = world(rng, 40, 30, 12)
    outside = ItemScores(tuple(f"words/{j}" for j in range(30)), np.ones(30))
    with_it = fitted(np.vstack([points, np.full(4, np.nan)]), [*scores, outside], 30, None)
    found = with_it.candidates()
    assert np.isfinite(found.means).all()
    assert found.means[-1, 0] == pytest.approx(1.0)
    without = fitted(points, scores, 30, None).objectives(points).means
    # It moves what all abilities have in common, and easiness; not where the genes are good.
    assert np.corrcoef(with_it.objectives(points).means[:, 0], without[:, 0])[0, 1] > 0.98


def test_graded_scores_are_surer_than_right_or_wrong_ones() -> None:
    rng = np.random.default_rng(5)
    points, scores, _ = world(rng, 60, 20, 6)
    p = 0.2 + 0.6 * points[:, 0]
    graded = [ItemScores(one.item_ids, np.clip(p[i] + rng.normal(0, 0.03, 6), 0, 1)) for i, one in enumerate(scores)]
    binary = [ItemScores(one.item_ids, rng.random(6) < p[i]) for i, one in enumerate(scores)]
    new = rng.random((50, 4))
    sure, unsure = (fitted(points, told, 20, None).marginals(new) for told in (graded, binary))
    assert np.abs(sure[0][:, 0] - (0.2 + 0.6 * new[:, 0])).max() < 0.05
    assert np.sqrt(sure[1]).mean() < 0.3 * np.sqrt(unsure[1]).mean()


def test_the_same_answers_give_the_same_bits_and_settings_go_on() -> None:
    rng = np.random.default_rng(6)
    points, scores, _ = world(rng, 30, 20, 8)
    one, other = fitted(points, scores, 20, None), fitted(points, scores, 20, None)
    assert np.array_equal(one.objectives(points).covariances, other.objectives(points).covariances)
    kept = fitted(points, scores, 20, one.settings[0])
    np.testing.assert_array_equal(kept.objectives(points).means, one.objectives(points).means)


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_answers_that_are_all_alike_give_finite_estimates(right: float) -> None:
    points = np.random.default_rng(7).random((12, 2))
    scores = [ItemScores(tuple(items_of("words", 9)), np.full(9, right))] * 12
    found = fitted(points, scores, 9, None).objectives(points)
    assert np.isfinite(found.covariances).all()
    assert np.abs(found.means - right).max() < 0.1


def test_what_does_not_fit_together_is_named() -> None:
    one = ItemScores(("words/0",), np.ones(1))
    with pytest.raises(FitnessError, match=r"points: expected \(1, genes\)"):
        fitted(np.zeros((2, 3)), [one], 4, None)
    with pytest.raises(FitnessError, match="expected items of task 'words', found none"):
        fitted(np.zeros((1, 3)), [one], 0, None)
