from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fitness.errors import FitnessError
from fitness.estimation import Objective
from fitness.scores import ItemScores
from fitness.statistics import Difference, Flips, PairedComparison, paired_difference, rank_correlation

few_values = st.integers(0, 5).map(float)

OBJECTIVES = (Objective("x", ("a", "b")), Objective("y", ("c",)))
SIZES = {"a": 12, "b": 30, "c": 25}
ITEMS = tuple(f"{task}/{i}" for task, n in SIZES.items() for i in range(n))
TASK_OF = {item: item[0] for item in ITEMS}


def compare(a, b, items=ITEMS, objectives=OBJECTIVES, **options) -> Difference:
    return paired_difference(
        ItemScores(items, a), ItemScores(items, b), objectives=objectives, task_of=TASK_OF, **options
    )


def test_the_interval_is_welch_satterthwaites_by_a_slow_loop():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.1, 3, (2, len(ITEMS)))
    found = compare(a, b, confidence=0.9)
    value = variance = denominator = 0.0
    for task, weight in {"a": 0.25, "b": 0.25, "c": 0.5}.items():
        d = [x - y for item, x, y in zip(ITEMS, a, b, strict=True) if item[0] == task]
        part = weight**2 * np.var(d, ddof=1) / len(d)
        value += weight * np.mean(d)
        variance += part
        denominator += part**2 / (len(d) - 1)
    low, high = stats.t.interval(0.9, variance**2 / denominator, loc=value, scale=variance**0.5)
    assert (found.value, found.stderr) == pytest.approx((value, variance**0.5))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_one_task_gives_scipys_paired_t_interval():
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 2, (2, 25))
    found = compare(a, b, items=ITEMS[-25:], objectives=OBJECTIVES[1:])
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_the_order_of_items_does_not_matter_and_the_sign_follows_the_order_of_models():
    rng = np.random.default_rng(2)
    a, b = rng.random((2, len(ITEMS)))
    shuffle = rng.permutation(len(ITEMS))
    mixed = ItemScores(tuple(ITEMS[i] for i in shuffle), b[shuffle])
    expected = compare(a, b)
    found = paired_difference(ItemScores(ITEMS, a), mixed, objectives=OBJECTIVES, task_of=TASK_OF)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    reverse = compare(b, a)
    assert (reverse.value, reverse.low, reverse.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_a_task_in_two_objectives_counts_in_both():
    rng = np.random.default_rng(3)
    a, b = rng.random((2, len(ITEMS)))
    found = compare(a, b, objectives=(Objective("x", ("a",)), Objective("y", ("a", "c"))))
    means = {task: np.mean([x - y for i, x, y in zip(ITEMS, a, b, strict=True) if i[0] == task]) for task in SIZES}
    assert found.value == pytest.approx(0.75 * means["a"] + 0.25 * means["c"])


def test_equal_accuracies_on_few_items_are_no_proof_of_equality():
    found = compare(np.ones(len(ITEMS)), np.ones(len(ITEMS)))
    assert found.value == 0.0
    assert found.low < -0.03
    assert found.high == -found.low


def test_equal_values_that_are_no_accuracies_have_an_interval_of_no_length():
    same = np.full(len(ITEMS), -2.0)
    assert compare(same, same) == Difference(0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("n_items", [10, 30, 100, 300])
@pytest.mark.parametrize(("wins", "losses"), [(0.02, 0.02), (0.05, 0.02), (0.1, 0.05), (0.2, 0.2), (0.3, 0.05)])
def test_the_interval_covers_the_true_difference_of_accuracies_95_times_in_100(n_items, wins, losses):
    check_coverage({"a": n_items}, wins, losses)


@pytest.mark.parametrize("sizes", [{"a": 10, "c": 200}, {"a": 40, "b": 40, "c": 40}])
def test_the_interval_covers_the_true_difference_over_tasks_95_times_in_100(sizes):
    check_coverage(sizes, 0.1, 0.05)


def test_the_interval_of_graded_scores_is_no_longer_than_it_need_be():
    rng = np.random.default_rng(7)
    items = tuple(f"a/{i}" for i in range(100))
    task_of, objectives, n_runs = dict.fromkeys(items, "a"), [Objective("a", ("a",))], 1000
    covered = 0
    for _ in range(n_runs):
        a, b = (ItemScores(items, values) for values in 0.5 + rng.uniform(-0.1, 0.1, (2, 100)))
        found = paired_difference(a, b, objectives=objectives, task_of=task_of)
        covered += found.low <= 0.0 <= found.high
    assert 0.936 < covered / n_runs < 0.97


def check_coverage(sizes: dict[str, int], wins: float, losses: float, n_runs: int = 1000) -> None:
    rng = np.random.default_rng(5)
    items = tuple(f"{task}/{i}" for task, n in sizes.items() for i in range(n))
    objectives = [Objective(task, (task,)) for task in sizes]
    task_of = {item: item[0] for item in items}
    covered = 0
    for _ in range(n_runs):
        u = rng.random(len(items))
        a = ItemScores(items, u < wins)
        b = ItemScores(items, (u >= wins) & (u < wins + losses))
        found = paired_difference(a, b, objectives=objectives, task_of=task_of)
        covered += found.low <= wins - losses <= found.high
    # 0.95 less two standard errors of 1000 runs
    assert covered / n_runs > 0.936


def test_models_scored_on_different_items_cannot_be_compared():
    a = ItemScores(("a/1", "a/2"), np.ones(2))
    b = ItemScores(("a/1", "a/3"), np.ones(2))
    with pytest.raises(FitnessError, match=r"expected the same items, found 2 .* 'a/2'"):
        paired_difference(a, b, objectives=OBJECTIVES, task_of={**TASK_OF, "a/2": "a", "a/3": "a"})


def test_flips_are_counted_per_objective_over_right_or_wrong_tasks():
    a = {"a/0": 1, "a/1": 0, "a/2": 1, "a/3": 1, "b/0": 0.25, "b/1": 1, "c/0": 0, "c/1": 0}
    b = {"a/0": 0, "a/1": 1, "a/2": 1, "a/3": 0, "b/0": 0.0, "b/1": 0, "c/0": 1, "c/1": 0}
    one, other = (ItemScores(tuple(scores), np.array(list(scores.values()))) for scores in (a, b))
    shuffled = ItemScores(other.item_ids[::-1], other.values[::-1])
    found = PairedComparison(OBJECTIVES, TASK_OF).flips(one, shuffled)
    assert found == (Flips("x", gained=2, lost=1, n_items=4), Flips("y", gained=0, lost=1, n_items=2))
    graded = PairedComparison((Objective("z", ("b",)),), TASK_OF)
    assert graded.flips(one, other) == ()


def test_the_difference_of_each_objective_is_that_of_its_tasks_alone():
    rng = np.random.default_rng(4)
    a, b = (ItemScores(ITEMS, values) for values in rng.random((2, len(ITEMS))))
    comparison = PairedComparison(OBJECTIVES, TASK_OF)
    found = comparison.of_objectives(a, b, confidence=0.99)
    for difference, objective in zip(found, OBJECTIVES, strict=True):
        assert difference == compare(a.values, b.values, objectives=[objective], confidence=0.99)
    assert comparison.of_means(a, b).value == pytest.approx(np.mean([d.value for d in found]))


def test_a_models_own_mean_has_the_interval_of_its_items():
    rng = np.random.default_rng(5)
    scores = ItemScores(ITEMS[-25:], rng.normal(0, 2, 25))
    found = PairedComparison(OBJECTIVES[1:], TASK_OF).mean(scores)
    low, high = stats.ttest_1samp(scores.values, 0.0).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((scores.values.mean(), low, high))


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
