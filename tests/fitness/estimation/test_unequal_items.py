from __future__ import annotations

import numpy as np
import pytest

from fitness.estimation.unequal_items import filled, on_all_items


def test_where_all_answered_the_same_the_mean_is_the_mean_and_its_error_that_of_two_way_analysis():
    rng = np.random.default_rng(0)
    answers = rng.normal(0, 1, (50, 1)) + rng.normal(0, 2, (1, 30)) + rng.normal(0, 0.5, (50, 30))
    means, variances = on_all_items(answers)
    np.testing.assert_allclose(means, answers.mean(axis=1))
    np.testing.assert_allclose(variances, 0.25 / 30, rtol=0.1)


def test_who_answered_only_hard_items_is_set_right():
    """Without errors the additive model is exact: half of the candidates answered ten hard items of twenty."""
    levels, items = np.linspace(0, 1, 12), np.r_[np.full(10, -0.5), np.full(10, 0.5)]
    answers = levels[:, None] + items + np.random.default_rng(0).normal(0, 1e-4, (12, 20))
    answers[::2, 10:] = np.nan
    np.testing.assert_allclose(on_all_items(answers)[0], levels, atol=1e-3)


def test_the_luck_of_those_who_went_on_does_not_make_the_first_items_easy():
    """Equal candidates: the better half on five items goes on to fifty; the others are as good, and are told so."""
    rng = np.random.default_rng(1)
    gaps = []
    for _ in range(60):
        answers = rng.normal(0, 1, (40, 50))
        on = answers[:, :5].mean(axis=1) > np.median(answers[:, :5].mean(axis=1))
        answers[~on, 5:] = np.nan
        first_luck = answers[on][:, :5].mean()
        means, _ = on_all_items(answers)
        gaps.append([means[on].mean() - means[~on].mean(), first_luck])
    over, luck = np.mean(gaps, axis=0)
    # those who went on: 5 lucky items of 50; the others: 5 unlucky ones alone
    assert over == pytest.approx(luck * (5 / 50 + 1), abs=0.1)


def test_one_candidate_has_its_mean():
    means, variances = on_all_items(np.array([[1.0, 0.0, 1.0, np.nan]])[:, :3])
    assert means.tolist() == [pytest.approx(2 / 3)]
    assert variances[0] > 0.0


def test_what_is_filled_in_is_what_an_additive_world_would_have_answered():
    levels, items = np.linspace(0, 1, 12), np.linspace(-1, 1, 20)
    whole = levels[:, None] + items
    answers = whole.copy()
    answers[::2, 8:] = np.nan
    answers[1::4, :3] = np.nan
    found = filled(answers)
    np.testing.assert_array_equal(found[np.isfinite(answers)], whole[np.isfinite(answers)])
    inside = np.clip(whole, np.nanmin(answers), np.nanmax(answers))
    np.testing.assert_allclose(found, inside, atol=1e-6)
    np.testing.assert_array_equal(filled(whole), whole)
