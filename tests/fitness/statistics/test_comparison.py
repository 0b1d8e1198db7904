from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fitness.errors import FitnessError
from fitness.estimation import Objective
from fitness.scores import ItemScores
from fitness.statistics import Difference, Flips, PairedComparison, paired_difference

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


def test_where_gains_and_losses_are_equal_neither_the_order_of_items_nor_that_of_models_matters():
    rng, objectives = np.random.default_rng(6), (Objective("x", ("a", "b", "c")),)
    change = {"a": [1, 1], "b": [-1] * 4, "c": [-1, -1, 1, 1, 0]}  # thirds that cancel, to within rounding
    items = tuple(f"{task}/{i}" for task, of_task in change.items() for i in range(len(of_task)))
    differences = np.concatenate(list(change.values()))
    a, b = np.maximum(differences, 0), np.maximum(-differences, 0)
    first = compare(a, b, items=items, objectives=objectives)
    assert first.value == pytest.approx(0.0, abs=1e-12)
    for _ in range(50):
        order = rng.permutation(len(items))
        mixed = tuple(items[i] for i in order)
        one = compare(a[order], b[order], items=mixed, objectives=objectives)
        other = compare(b[order], a[order], items=mixed, objectives=objectives)
        assert (one.low, one.high) == pytest.approx((first.low, first.high))
        assert (other.low, other.high) == pytest.approx((-first.high, -first.low))


def test_exact_costs_compare_exactly_and_widen_nothing() -> None:
    rng = np.random.default_rng(0)
    items = [f"words/{i}" for i in range(30)]
    task_of = dict.fromkeys(items, "words") | {"cost:depth/test": "cost:depth"}
    words, depth = Objective("words", ("words",)), Objective("depth", ("cost:depth",), None, "depth")
    one, two = (rng.integers(0, 2, 30).astype(float) for _ in range(2))
    a, b = (ItemScores(tuple(task_of), np.append(v, cost)) for v, cost in ((one, -12.5), (two, -14.0)))
    plain = PairedComparison((words,), task_of)
    both = PairedComparison((words, depth), task_of)
    assert both.of_objectives(a, b)[1] == Difference(1.5, 1.5, 1.5, 0.0)
    assert both.of_objectives(a, b)[0] == plain.of_objectives(a, b)[0]
    assert both.of_means(a, b) == plain.of_means(a, b)
    assert both.of_only("depth").mean(a) == Difference(-12.5, -12.5, -12.5, 0.0)
    same = PairedComparison((Objective("base", ("cost:depth",), None, "distance"),), task_of)
    zeros = ItemScores(tuple(task_of), np.append(one, 0.0))
    assert same.of_objectives(zeros, zeros) == (Difference(0.0, 0.0, 0.0, 0.0),)
    assert [flips.objective for flips in both.flips(a, b)] == ["words"]
