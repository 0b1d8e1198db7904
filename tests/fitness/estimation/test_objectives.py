from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitness.errors import FitnessError
from fitness.estimation import MeanEstimator, Objective
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate
from fitness.splits import Splits

OBJECTIVES = (Objective("first", ("a",)), Objective("both", ("b", "a"), weight=3.0))


def estimator(items, objectives=OBJECTIVES, others=()) -> MeanEstimator:
    splits = Splits({"search": tuple(items), "test": tuple(others)})
    return MeanEstimator(objectives, task_of={item: item.split("/")[0] for item in splits.item_ids}, splits=splits)


values = st.floats(-5, 5) | st.sampled_from([0.0, 1.0])


def error(scores: list[float]) -> float:
    """The standard error of a task: of right and wrong answers as if there were one more of each."""
    more = [0.0, 1.0] if set(scores) <= {0.0, 1.0} else []
    return (statistics.variance([*scores, *more]) / len(scores)) ** 0.5


@given(a=st.lists(values, min_size=2, max_size=20), b=st.lists(values, min_size=2, max_size=20), seed=st.integers(0, 9))
def test_objectives_are_means_of_task_means_with_their_standard_errors(a, b, seed):
    scored = [(f"a/{i}", v) for i, v in enumerate(a)] + [(f"b/{i}", v) for i, v in enumerate(b)]
    order = np.random.default_rng(seed).permutation(len(scored))
    items = tuple(scored[i][0] for i in order)
    estimate = estimator(items).estimate(ItemScores(items, np.array([scored[i][1] for i in order])))
    first, both = estimate.objectives
    assert (estimate.split, first.name, both.name) == ("search", "first", "both")
    assert (first.n_items, both.n_items) == (len(a), len(a) + len(b))
    assert first.value == pytest.approx(statistics.mean(a), abs=1e-12)
    assert both.value == pytest.approx((statistics.mean(a) + statistics.mean(b)) / 2, abs=1e-12)
    error_a, error_b = (error(v) for v in (a, b))
    assert first.stderr == pytest.approx(error_a, abs=1e-9)
    assert both.stderr == pytest.approx((error_a**2 + error_b**2) ** 0.5 / 2, abs=1e-9)


def test_the_standard_error_is_the_spread_of_repeated_benchmarks():
    rng = np.random.default_rng(0)
    items = tuple(f"{task}/{i}" for task, n in (("a", 50), ("b", 200)) for i in range(n))
    of = estimator(items)
    runs = [
        of.estimate(ItemScores(items, rng.random(250) < np.where(np.arange(250) < 50, 0.3, 0.8))) for _ in range(500)
    ]
    for k in range(2):
        spread = np.std([run.objectives[k].value for run in runs])
        assert np.mean([run.objectives[k].stderr for run in runs]) == pytest.approx(spread, rel=0.1)


def test_a_single_item_has_the_largest_spread_of_an_accuracy():
    items = ("a/1", "b/1", "b/2")
    first, both = estimator(items).estimate(ItemScores(items, np.ones(3))).objectives
    assert (first.stderr, both.stderr) == (0.5, pytest.approx((0.5**2 + error([1.0, 1.0]) ** 2) ** 0.5 / 2))


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_twenty_answers_that_are_all_right_or_all_wrong_are_no_certainty(score):
    items = tuple(f"a/{i}" for i in range(20))
    (found,) = estimator(items, OBJECTIVES[:1]).estimate(ItemScores(items, np.full(20, score))).objectives
    assert found.value == score
    assert 0.04 < found.stderr < 0.06  # about one item of 20


def test_items_of_tasks_that_no_objective_uses_do_not_count():
    items = ("a/1", "c/1", "a/2")
    (first,) = estimator(items, OBJECTIVES[:1]).estimate(ItemScores(items, np.array([1.0, 9.0, 0.0]))).objectives
    assert (first.value, first.n_items) == (0.5, 2)


def test_a_large_mean_does_not_drown_the_spread():
    items = ("a/1", "a/2")
    (first,) = estimator(items, OBJECTIVES[:1]).estimate(ItemScores(items, np.array([1e9, 1e9 + 1]))).objectives
    assert first.stderr == pytest.approx(0.5)


def test_a_task_without_items_and_mixed_splits_are_errors():
    of = estimator(("a/1", "b/1"), others=("a/2", "b/2"))
    with pytest.raises(FitnessError, match="objective 'both': expected items of task 'b', found none"):
        of.estimate(ItemScores(("a/1",), np.ones(1)))
    with pytest.raises(FitnessError, match="all from one split"):
        of.estimate(ItemScores(("a/1", "b/2"), np.ones(2)))
    with pytest.raises(FitnessError, match="'z/1'"):
        of.estimate(ItemScores(("a/1", "b/1", "z/1"), np.ones(3)))
    assert of.estimate(ItemScores(("b/2", "a/2"), np.ones(2))).split == "test"


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ([], "at least one"),
        ([Objective("x", ("a",)), Objective("x", ("b",))], "'x': expected unique names"),
        ([Objective("x", ())], "'x': expected different tasks"),
        ([Objective("x", ("a", "a"))], "'x': expected different tasks"),
        ([Objective("x", ("c",))], r"'x': expected tasks among \['a', 'b'\], found 'c'"),
        ([Objective("x", ("a",), weight=-1.0)], "'x': expected a weight >= 0, found -1.0"),
    ],
)
def test_objectives_that_make_no_sense_are_refused(objectives, message):
    with pytest.raises(FitnessError, match=message):
        estimator(("a/1", "b/1"), objectives)


def test_the_mean_of_an_estimate_weighs_objectives_equally():
    estimate = Estimate("test", (ObjectiveEstimate("x", 0.2, 0.03, 10), ObjectiveEstimate("y", 0.6, 0.04, 20)))
    assert estimate.mean == pytest.approx(0.4)
