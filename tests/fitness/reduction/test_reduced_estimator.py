from __future__ import annotations

import numpy as np
import pytest

from fitness.errors import FitnessError
from fitness.estimation import MeanEstimator, Objective
from fitness.reduction.reduced_estimator import ReducedEstimator
from fitness.reduction.reduction import reduce_benchmark
from fitness.scores import ItemScores
from fitness.splits import Splits
from tests.fitness.reduction.worlds import ENDPOINTS, world

OBJECTIVES = (Objective("both", ("task0", "task1")),)
WORLD = world("linear", 5, n_models=60, n_items=100)


@pytest.fixture(scope="module")
def benchmark():
    arguments = {"endpoints": ENDPOINTS, "n_items": 20, "content": "", "method": "stratified"}
    return reduce_benchmark(WORLD.matrix(50), WORLD.tasks, **arguments)


def parts(benchmark):
    splits = Splits({"search": benchmark.items, "test": ("task0/x", "task1/x")})
    return {"task_of": {item: item.split("/")[0] for item in splits.item_ids}, "splits": splits}


def shown(benchmark, row, items) -> ItemScores:
    place = {item: i for i, item in enumerate(benchmark.items)}
    return ItemScores(tuple(items), np.array([row[place[item]] for item in items]))


@pytest.mark.parametrize("estimator", [None, "mean", "anchor", "p-irt", "gp-irt", "mp-irt", "gmp-irt"])
def test_estimates_are_labelled_with_the_items_that_they_rest_on(benchmark, estimator):
    of = ReducedEstimator(benchmark, OBJECTIVES, estimator=estimator, **parts(benchmark))
    errors = []
    for row in WORLD.scores[50:]:
        (found,) = of.estimate(shown(benchmark, row, benchmark.anchors)).objectives
        assert (found.name, found.kind, found.n_items) == ("both", "estimated", 20)
        assert 0.0 < found.stderr < 0.4
        errors.append(abs(found.value - row.mean()) / found.stderr)
    assert np.mean(np.array(errors) < 1.96) > 0.7


def test_all_search_items_and_other_splits_have_the_plain_mean(benchmark):
    of = ReducedEstimator(benchmark, OBJECTIVES, estimator="gmp-irt", **parts(benchmark))
    mean = MeanEstimator(OBJECTIVES, **parts(benchmark))
    whole = shown(benchmark, WORLD.scores[55], benchmark.items)
    held_out = ItemScores(("task0/x", "task1/x"), np.array([1.0, 0.0]))
    assert of.estimate(whole) == mean.estimate(whole)
    assert of.estimate(whole).kind == "full"
    assert of.estimate(held_out) == mean.estimate(held_out)


def test_more_items_than_the_anchors_bring_the_estimate_nearer(benchmark):
    of = ReducedEstimator(benchmark, OBJECTIVES, estimator="p-irt", **parts(benchmark))
    row = WORLD.scores[52]
    few, many = (of.estimate(shown(benchmark, row, items)).objectives[0] for items in (benchmark.anchors, ITEMS_90))
    assert many.stderr < few.stderr
    assert many.n_items == 90


ITEMS_90 = WORLD.matrix().items[:90]


def test_a_task_without_an_item_is_an_error(benchmark):
    of = ReducedEstimator(benchmark, OBJECTIVES, **parts(benchmark))
    with pytest.raises(FitnessError, match="at least one of task 'task1', found none"):
        of.estimate(ItemScores(("task0/0",), np.ones(1)))


def test_objectives_that_it_was_not_calibrated_for_are_refused(benchmark):
    with pytest.raises(FitnessError, match="expected the objectives both, found 'other'"):
        ReducedEstimator(benchmark, (Objective("other", ("task0",)),), **parts(benchmark))
