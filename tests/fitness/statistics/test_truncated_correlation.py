"""A correlation of all models, of which only those that were chosen have a score."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from fitness.errors import FitnessError
from fitness.statistics import rank_correlation
from fitness.statistics.truncated_correlation import correlation_before_selection

Floats = NDArray[np.float64]
RUNGS = (15, 30, 60, 120)


def drawn(rng: np.random.Generator, n: int, r: float) -> tuple[Floats, Floats]:
    """Return n skewed agreements, and (120, n) answers of models whose skill correlates with them by r."""
    skill = rng.standard_normal(n)
    first = -np.exp(-(r * skill + math.sqrt(1 - r**2) * rng.standard_normal(n)))
    return first, (rng.random((120, n)) < 1 / (1 + np.exp(-skill))).astype(float)


def kept(first: Floats, answers: Floats, *, rungs: bool) -> list[Floats]:
    """Return who has which mean: of each 24 the half of the best agreement, and of these the half after each rung."""
    measures = [np.full(len(first), np.nan) for _ in (RUNGS if rungs else RUNGS[-1:])]
    for start in range(0, len(first), 24):
        here = np.arange(start, min(start + 24, len(first)))
        by = first
        for measure, size in zip(measures, RUNGS if rungs else RUNGS[-1:], strict=True):
            here = here[np.argsort(-by[here], kind="stable")][: math.ceil(len(here) / 2)]
            by = answers[:size].mean(axis=0)
            measure[here] = by[here]
    return measures


@pytest.mark.parametrize(("rungs", "r"), [(False, 0.0), (False, 0.9), (True, 0.9)])
def test_the_interval_covers_the_correlation_of_all_also_where_that_of_the_chosen_misses_it(
    rungs: bool, r: float
) -> None:
    rng = np.random.default_rng(0)
    first, answers = drawn(rng, 10_000, r)
    truth = spearmanr(first, answers.mean(axis=0)).statistic
    covered, naive, values = 0, 0, []
    for _ in range(60):
        first, answers = drawn(rng, 192, r)
        measures = kept(first, answers, rungs=rungs)
        found = correlation_before_selection(first, measures)
        whole = ~np.isnan(measures[-1])
        chosen = rank_correlation(first[whole], measures[-1][whole])
        assert found is not None
        assert chosen is not None
        covered += found.low <= truth <= found.high
        naive += chosen.low <= truth <= chosen.high
        values.append(found.value)
    assert covered >= 52  # of 60: fewer with a chance of 1 % where it covers 95 %
    assert np.mean(values) == pytest.approx(truth, abs=0.06)
    if r == 0.9:
        assert naive < 40


def test_with_nobody_left_out_it_is_about_spearmans_own() -> None:
    rng = np.random.default_rng(0)
    first = rng.standard_normal(2000)
    second = first + rng.standard_normal(2000)
    found = correlation_before_selection(first, [second])
    assert found is not None
    assert found.value == pytest.approx(spearmanr(first, second).statistic, abs=0.02)
    assert found == correlation_before_selection(np.exp(first), [second])  # ranks of the first are all that counts


@pytest.mark.parametrize(
    ("first", "further", "words"),
    [
        ([0.0, 1.0], [[1.0, 2.0, 3.0]], r"expected finite numbers and \(k, 2\) more"),
        ([0.0, math.nan], [[1.0, 2.0]], "expected finite numbers"),
        ([0.0, 1.0], [[1.0, math.nan], [1.0, 2.0]], "only where there is the one before"),
    ],
)
def test_measures_that_do_not_fit_are_refused(first: list[float], further: list[list[float]], words: str) -> None:
    with pytest.raises(FitnessError, match=words):
        correlation_before_selection(first, further)


def test_of_too_few_nothing_is_said() -> None:
    assert correlation_before_selection([0.0, 1.0, 2.0, 3.0], [[0.0, 1.0, 2.0, 3.0]]) is None
    assert correlation_before_selection([0.0] * 8, [np.arange(8.0)]) is None
    assert correlation_before_selection(np.arange(8.0), [[1.0] * 8]) is None
