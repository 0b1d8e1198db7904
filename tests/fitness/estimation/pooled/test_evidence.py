"""The evidence that settings are chosen by: its slope, and that it finds what a world was made by."""

from __future__ import annotations

import numpy as np
from scipy.optimize import check_grad

from fitness.estimation.pooled.answers import Answers, Logistic
from fitness.estimation.pooled.evidence import MOST, Evidence, choose_settings
from fitness.estimation.pooled.laplace import Mode, told
from fitness.estimation.pooled.settings import Settings


def all_answers(rng: np.random.Generator, points: np.ndarray, n_items: int) -> Answers:
    n = len(points)
    eta = np.sin(5 * points[:, :1]) + rng.normal(0, 1, n_items)
    values = (rng.random((n, n_items)) < 1 / (1 + np.exp(-eta))).astype(np.float64)
    candidate, item = (part.ravel() for part in np.indices((n, n_items)))
    return Answers(candidate, item, values.ravel(), n, n_items)


def test_its_slope_is_that_of_finite_differences_with_and_without_points() -> None:
    rng = np.random.default_rng(0)
    points = rng.random((14, 3))
    answers = all_answers(rng, points, 6)
    points[5] = np.nan
    settings = Settings.prior(3, graded=False)
    evidence = Evidence(points, told(answers, Logistic(), settings, Mode.start(answers)))
    at = settings.of_kernel + rng.normal(0, 0.3, 5)
    slope = evidence.loss(at)[1]
    assert check_grad(lambda t: evidence.loss(t)[0], lambda t: evidence.loss(t)[1], at) < 1e-4 * np.abs(slope).max()


def test_genes_without_effect_get_the_longest_lengths_also_from_a_part_of_many_candidates() -> None:
    rng = np.random.default_rng(1)
    points = rng.random((MOST + 44, 4))
    settings = choose_settings(
        points, all_answers(rng, points, 20), Logistic(), Settings.prior(4, graded=False), rounds=2
    )
    assert settings.lengths[0] < 0.5 * settings.lengths[1:].min()
    assert 0.4 < settings.easiness < 2.5
