from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fitness.estimation import MeanEstimator, Objective
from fitness.estimation.costs_apart import CostsApart
from fitness.scores import Estimate, ItemScores
from fitness.splits import Splits

TASK_OF = {f"{task}/{i}": task for i in range(6) for task in ("words", "words:tokens")} | {
    "cost:depth/search": "cost:depth"
}
SPLITS = Splits({"search": tuple(TASK_OF)})
WORDS = Objective("words", ("words",))
LENGTH = Objective("length", ("words:tokens",), None, "tokens")
DEPTH = Objective("depth", ("cost:depth",), None, "depth")


def estimator(*objectives: Objective) -> MeanEstimator:
    return MeanEstimator(objectives, task_of=TASK_OF, splits=SPLITS)


@given(st.lists(st.integers(0, 1), min_size=6, max_size=6), st.lists(st.integers(1, 90), min_size=6, max_size=6))
def test_costs_are_means_whatever_estimates_the_rest(right: list[int], tokens: list[int]) -> None:
    values = [value for pair in zip(right, tokens, strict=True) for value in (pair[0], -pair[1])]
    scores = ItemScores(tuple(TASK_OF), np.array([*values, -12.5]))
    objectives = (DEPTH, WORDS, LENGTH)
    found = CostsApart(estimator(WORDS), objectives, task_of=TASK_OF, splits=SPLITS).estimate(scores)
    assert found == estimator(*objectives).estimate(scores)
    assert found.objectives[0].stderr == 0.0
    assert found.mean == np.mean(right)
    assert isinstance(found, Estimate)


def test_an_exact_cost_does_not_say_how_many_items_an_estimate_rests_on() -> None:
    items = ("cost:depth/search", "words/0", "words:tokens/0", "words/1", "words:tokens/1")
    found = estimator(DEPTH, WORDS, LENGTH).estimate(ItemScores(items, np.array([-3.0, 1.0, -5.0, 0.0, -9.0])))
    assert found.in_words == "estimated from 2 items"
