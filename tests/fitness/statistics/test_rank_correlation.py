from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fitness.errors import FitnessError
from fitness.statistics import rank_correlation

few_values = st.integers(0, 5).map(float)


@given(st.lists(st.tuples(few_values, few_values), min_size=4, max_size=30))
def test_rank_correlation_is_scipys_with_ties_and_lies_in_its_interval(pairs):
    a, b = zip(*pairs, strict=True)
    found = rank_correlation(a, b)
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert found is None
        return
    assert found is not None
    assert found.value == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
    assert -1.0 <= found.low <= found.value <= found.high <= 1.0
    assert found.n == len(pairs)


@pytest.mark.parametrize(("rho", "n"), [(0.0, 12), (0.5, 30), (0.8, 100), (-0.9, 30)])
def test_its_interval_covers_the_true_correlation_in_95_of_100_samples(rho, n):
    rng = np.random.default_rng(n)
    truth = 6 / math.pi * math.asin(rho / 2)  # Spearman's of a bivariate normal distribution
    samples = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=(400, n))
    found = [rank_correlation(sample[:, 0], sample[:, 1]) for sample in samples]
    covered = np.mean([c is not None and c.low <= truth <= c.high for c in found])
    assert 0.925 <= covered <= 0.98


def test_equal_ranks_of_few_models_are_no_certainty():
    few = rank_correlation(range(5), range(5))
    assert few is not None
    assert few.value == pytest.approx(1.0)
    assert few.low < 0.5


def test_three_models_or_a_measure_that_tells_none_apart_have_none():
    assert rank_correlation([1, 2, 3], [1, 2, 3]) is None
    assert rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]) is None


@pytest.mark.parametrize("bad", [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0, math.nan]])
def test_measures_that_do_not_fit_are_refused(bad):
    with pytest.raises(FitnessError, match="rank correlation: expected"):
        rank_correlation([1.0, 2.0, 3.0, 4.0], bad)
