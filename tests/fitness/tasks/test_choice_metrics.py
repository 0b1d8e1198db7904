from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from fitness.tasks.choice_metrics import CHOICE_METRICS, ScoredChoices, shown


def scored(values: list[float], choices: list[str], *right: int) -> ScoredChoices:
    return ScoredChoices(np.array(values), choices, frozenset(right))


likelihoods = st.lists(st.floats(-200, 0), min_size=2, max_size=6)


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        ("acc", 0.0),
        ("acc_norm", 0.0),  # per character: -2, -1.5, -2
        ("acc_bytes", 1.0),  # per byte: -2, -1.5, -0.67
        ("margin", -2.0),
    ],
)
def test_each_metric_of_one_question(metric, score):
    question = scored([-4.0, -12.0, -6.0], ["aa", "bbbbbbbb", "€€€"], 2)
    assert CHOICE_METRICS[metric](question) == pytest.approx(score)


def test_of_equally_likely_choices_the_first_counts():
    assert CHOICE_METRICS["acc"](scored([-1.0, -1.0], ["a", "b"], 0)) == 1.0
    assert CHOICE_METRICS["acc"](scored([-1.0, -1.0], ["a", "b"], 1)) == 0.0


def test_the_margin_is_between_the_best_right_and_the_best_wrong_choice():
    assert CHOICE_METRICS["margin"](scored([-1.0, -2.0, -4.0, -7.0], list("abcd"), 1, 2)) == -1.0


@given(likelihoods)
def test_entropy_is_that_of_the_softmax(values):
    p = np.exp(np.array(values) - max(values))
    score = CHOICE_METRICS["entropy"](scored(values, ["x"] * len(values), 0))
    assert score == pytest.approx(-entropy(p / p.sum()), abs=1e-12)
    assert -math.log(len(values)) - 1e-12 <= score <= 0.0


@given(likelihoods, st.floats(-50, 50))
def test_margin_and_entropy_do_not_see_what_all_choices_have_in_common(values, shift):
    for metric in ("margin", "entropy"):
        scores = [CHOICE_METRICS[metric](scored(v, ["x"] * len(v), 0)) for v in (values, [x + shift for x in values])]
        assert scores[0] == pytest.approx(scores[1], abs=1e-9)


@given(likelihoods)
def test_acc_with_margin_ranks_by_accuracy_then_by_margin(values):
    question = scored(values, ["x"] * len(values), 0)
    both, acc = CHOICE_METRICS["acc+margin"](question), CHOICE_METRICS["acc"](question)
    assert 0.0 <= both <= 1.0
    assert abs(both - acc) <= 0.0005 + 1e-12
    better = scored([values[0] + 0.5, *values[1:]], ["x"] * len(values), 0)
    assert CHOICE_METRICS["acc+margin"](better) > both


def test_negated_metrics_show_it():
    assert [shown(m) for m in ("acc", "entropy", "js_divergence")] == ["acc", "-entropy", "-js_divergence"]
