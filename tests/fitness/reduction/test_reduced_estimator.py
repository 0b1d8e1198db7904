from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fitness.errors import FitnessError
from fitness.estimation import MeanEstimator, Objective
from fitness.reduction.calibration import ErrorScale
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


def all_right(benchmark) -> ItemScores:
    return ItemScores(tuple(benchmark.anchors), np.ones(len(benchmark.anchors)))


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


def test_an_estimate_is_never_surer_than_one_item_even_where_no_known_model_erred(benchmark):
    scales = {"both": dict.fromkeys(benchmark.bank.estimators, ErrorScale(0.0, 0.0))}
    sure = replace(benchmark, calibration=replace(benchmark.calibration, scales=scales))
    (found,) = ReducedEstimator(sure, OBJECTIVES, **parts(sure)).estimate(all_right(benchmark)).objectives
    of_all = 0.5 * np.var([1.0] * 11 + [0.0], ddof=1) / 50  # two tasks of 50 items, one more right and one wrong
    assert found.stderr == pytest.approx(np.sqrt((0.5 / 50 / 1.959964) ** 2 + of_all))


def test_a_part_of_the_anchors_is_as_sure_as_a_random_sample_at_most(benchmark):
    """A factor of 0.3 was found for all anchors together, as k-means finds them: a part of them has no such claim."""
    scales = {"both": dict.fromkeys(benchmark.bank.estimators, ErrorScale(0.0, 0.3))}
    bold = replace(benchmark, calibration=replace(benchmark.calibration, scales=scales))
    of = ReducedEstimator(bold, OBJECTIVES, estimator="mean", **parts(bold))
    covered = []
    for row in WORLD.scores[20:]:
        (found,) = of.estimate(shown(bold, row, bold.items_for(8))).objectives
        covered.append(abs(found.value - row.mean()) <= 1.96 * found.stderr)
    assert np.mean(covered) >= 0.9


def test_anchors_weights_are_of_all_anchors_so_a_part_of_them_is_read_by_the_response_model(benchmark):
    chosen = replace(benchmark, calibration=replace(benchmark.calibration, estimator="anchor", better=True))
    some = shown(chosen, WORLD.scores[55], chosen.items_for(8))
    by_model = ReducedEstimator(chosen, OBJECTIVES, estimator="p-irt", **parts(chosen)).estimate(some)
    assert ReducedEstimator(chosen, OBJECTIVES, **parts(chosen)).estimate(some) == by_model
    told = ReducedEstimator(chosen, OBJECTIVES, estimator="anchor", **parts(chosen)).estimate(some)
    assert told.mean != by_model.mean


def test_a_task_without_an_item_is_an_error(benchmark):
    of = ReducedEstimator(benchmark, OBJECTIVES, **parts(benchmark))
    with pytest.raises(FitnessError, match="at least one of task 'task1', found none"):
        of.estimate(ItemScores(("task0/0",), np.ones(1)))


def test_objectives_that_it_was_not_calibrated_for_are_refused(benchmark):
    with pytest.raises(FitnessError, match="expected the objectives both, found 'other'"):
        ReducedEstimator(benchmark, (Objective("other", ("task0",)),), **parts(benchmark))
