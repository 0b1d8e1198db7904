from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fitness.errors import FitnessError
from fitness.estimation.item_response import Respondent
from fitness.reduction.calibration import NORMAL_95, error_scale
from fitness.reduction.dimension import choose_shape
from fitness.reduction.reduced_benchmark import ReducedBenchmark
from fitness.reduction.reduction import reduce_benchmark
from fitness.reduction.replay import Anchors, seen_by
from fitness.reduction.response_matrix import ResponseMatrix, shared_out
from tests.fitness.reduction.worlds import ENDPOINTS, KINDS, World, world


def reduced(simulated: World, n_items: int = 40, n_models: int | None = None, **options: object) -> ReducedBenchmark:
    return reduce_benchmark(
        simulated.matrix(n_models), simulated.tasks, endpoints=ENDPOINTS, n_items=n_items, content="abc", **options
    )


@pytest.fixture(scope="module")
def benchmark() -> ReducedBenchmark:
    return reduced(world("linear", 3, n_models=60, n_items=120), method="stratified")


def test_anchors_are_of_every_task_and_weigh_one_together(benchmark):
    assert len(benchmark.anchors) == 40
    for task in benchmark.bank.tasks:
        weights = [benchmark.anchors.get(benchmark.items[i], 0.0) for i in task.items]
        assert np.count_nonzero(weights) == 20
        assert sum(weights) == pytest.approx(1.0)
    assert list(benchmark.anchors) == [item for item in benchmark.items if item in benchmark.anchors]


def test_the_report_holds_every_estimator_and_what_random_items_do(benchmark):
    report = benchmark.calibration
    assert {(row.anchors, row.estimator) for row in report.rows} == {
        (anchors, estimator)
        for anchors in ("uniform", "stratified")
        for estimator in ("mean", "anchor", "p-irt", "gp-irt", "mp-irt", "gmp-irt")
    }
    assert report.n_models == 57
    for quality in (report.random, report.chosen, *(row.quality for row in report.rows)):
        assert 0.0 < quality.error < 0.2
        assert 0.0 < quality.kendall <= 1.0
        assert 0.0 <= quality.regret < 0.2
    assert f"{report.random.error:.4f}" in report.verdict
    assert f"{report.chosen.kendall:.3f}" in report.verdict


def test_a_file_is_read_as_it_was_written(benchmark, tmp_path):
    path = tmp_path / "benchmark.json"
    path.write_text(benchmark.to_json())
    again = ReducedBenchmark.read(path)
    assert again.to_json() == benchmark.to_json()
    assert again.digest == benchmark.digest
    assert again.estimator == benchmark.estimator


def test_fewer_items_are_each_tasks_first(benchmark):
    some = benchmark.items_for(10)
    assert len(some) == 10
    assert sum(item.startswith("task0") for item in some) == 5
    assert list(some) == [item for item in benchmark.anchors if item in some]
    assert benchmark.items_for(None) == tuple(benchmark.anchors)
    with pytest.raises(FitnessError, match="expected from 2 \\(one per task\\) to 40 \\(all\\), found 41"):
        benchmark.items_for(41)


def test_other_items_or_other_questions_are_refused(benchmark):
    benchmark.check_fits(benchmark.items, "abc")
    with pytest.raises(FitnessError, match="found others under the same ids"):
        benchmark.check_fits(benchmark.items, "abd")
    with pytest.raises(FitnessError, match=r"the 120 search items .* found 121, 1 of them others.*'task0/new'"):
        benchmark.check_fits([*benchmark.items, "task0/new"], "abc")
    with pytest.raises(FitnessError, match="in another order"):
        benchmark.check_fits(benchmark.items[::-1], "abc")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "make it: evomerge reduce CAMPAIGN.yaml --out"),
        ("{", "broken JSON"),
        ("[]", "found other JSON"),
        ('{"format": "evomerge reduced benchmark", "version": 99}', "expected version 1, found 99"),
        ('{"format": "evomerge reduced benchmark", "version": 1}', "found a damaged one"),
    ],
)
def test_what_is_no_reduced_benchmark_is_refused(tmp_path, text, message):
    path = tmp_path / "benchmark.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(FitnessError, match=message):
        ReducedBenchmark.read(path)


def test_random_answers_are_not_better_than_random_items_and_campaigns_use_the_mean():
    simulated = world("linear", 0, n_models=40, n_items=80)
    noise = replace(simulated, scores=(np.random.default_rng(0).random((40, 80)) < 0.5).astype(float))
    found = reduced(noise, 20, method="parameters")
    assert not found.calibration.better
    assert "not better than random" in found.calibration.verdict
    assert (found.calibration.anchors, found.estimator) == ("uniform", "mean")


def test_where_all_models_answer_alike_nothing_is_better_than_random_items():
    """Some items everybody gets right, the others nobody does: any response model predicts all of it."""
    simulated = world("linear", 0, n_models=30, n_items=40)
    alike = np.tile(simulated.scores[0], (30, 1))
    found = reduced(World(alike, alike, simulated.guessing), 10, method="stratified")
    assert not found.calibration.better
    assert found.estimator == "mean"
    assert "all 27 models have the same scores: not better than random" in found.calibration.verdict


def test_a_response_model_that_is_right_is_better_than_random_items():
    found = reduced(world("linear", 1, n_models=100, n_items=200), 30, method="stratified")
    assert found.calibration.better
    assert found.estimator in ("p-irt", "gp-irt", "mp-irt", "gmp-irt")
    assert found.calibration.chosen.error < found.calibration.random.error


def test_scores_beyond_one_and_missing_scores_are_taken_in():
    simulated = world("linear", 2, n_models=40, n_items=80)
    scores = simulated.scores.copy()
    scores[:, 1::2] = 3.0 * scores[:, 1::2] - 5.0  # the second task is no accuracy
    scores[np.random.default_rng(0).random(scores.shape) < 0.1] = np.nan
    found = reduced(replace(simulated, scores=scores), 20, method="uniform")
    assert [task.modelled for task in found.bank.tasks] == [True, False]
    assert all(np.isfinite(row.quality.error) for row in found.calibration.rows)


def test_without_endpoints_there_are_no_mixtures():
    simulated = world("linear", 2, n_models=40, n_items=60)
    found = reduce_benchmark(
        simulated.matrix(), simulated.tasks, endpoints=(), n_items=20, content="", method="uniform"
    )
    assert {row.estimator for row in found.calibration.rows} == {"mean", "anchor", "p-irt", "gp-irt"}


def test_too_few_models_are_refused():
    with pytest.raises(FitnessError, match=r"at least 10 models besides the parents.*found 9"):
        reduced(world("linear", 2, n_models=12, n_items=40), 10)


def test_a_model_without_a_score_of_some_task_is_refused():
    simulated = world("linear", 2, n_models=20, n_items=40)
    scores = simulated.scores.copy()
    scores[7, ::2] = np.nan
    with pytest.raises(FitnessError, match="scores of every model on task 'task0', found none of 'm7'"):
        reduced(replace(simulated, scores=scores), 10)


def test_the_dimensions_that_models_need_are_found():
    rng = np.random.default_rng(0)
    abilities = rng.normal(size=(120, 2))
    slopes = np.zeros((400, 2))
    slopes[::2, 0], slopes[1::2, 1] = 2.0, 2.0  # two tasks that have nothing in common
    chances = 1 / (1 + np.exp(-(abilities @ slopes.T + rng.normal(0, 1, 400))))
    scores = (rng.random(chances.shape) < chances).astype(float)
    index = np.arange(400)
    trials = choose_shape(scores, (index[::2], index[1::2]), held_out=np.arange(0, 120, 5), guessing=None)
    assert trials[0].shape.dims >= 2
    one = next(trial for trial in trials if trial.shape.form == "2pl" and trial.shape.dims == 1)
    assert trials[0].error < 0.7 * one.error


def test_items_are_shared_out_by_largest_remainder():
    assert shared_out(10, [50, 30, 20]) == [5, 3, 2]
    assert shared_out(7, [1, 50, 50]) == [1, 3, 3]
    assert sum(shared_out(11, [33, 33, 34])) == 11
    assert shared_out(4, [1, 1, 2]) == [1, 1, 2]


def test_a_matrix_of_other_items_is_refused():
    matrix = ResponseMatrix(("m",), ("a/1", "a/2"), np.array([[1.0, np.nan]]))
    with pytest.raises(FitnessError, match="none for 1 of them, for example 'a/3'"):
        matrix.with_items(["a/1", "a/3"])
    with pytest.raises(FitnessError, match="scores of item 'a/2', found none"):
        matrix.with_items(["a/2"])
    with pytest.raises(FitnessError, match="each model once, found 'm' twice"):
        ResponseMatrix(("m", "m"), ("a/1",), np.ones((2, 1)))


def test_the_scale_covers_95_percent_of_further_errors_however_wrong_the_variances():
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(300):
        variances = rng.uniform(0.0001, 0.001, 101)
        errors = rng.standard_t(3, 101) * 0.05
        scale = error_scale(errors[:100], variances[:100])
        covered.append(abs(errors[100]) <= NORMAL_95 * scale.stderr(float(variances[100])))
    assert 0.92 <= np.mean(covered) <= 0.98


def coverage(kinds: tuple[str, ...], seeds: range, n_items: int, method: str) -> dict[str, list[bool]]:
    """Whether each estimator's 95 % interval covers the score on all items, of merges that nobody had seen."""
    covered: dict[str, list[bool]] = {}
    for kind in kinds:
        for seed in seeds:
            simulated = world(kind, 100 + seed, n_models=120, n_items=120)
            found = reduced(simulated, n_items, n_models=60, method=method, seed=seed)
            anchors = []
            for task in found.bank.tasks:
                local = [k for k, i in enumerate(task.items) if found.items[i] in found.anchors]
                weights = np.array([found.anchors[found.items[task.items[k]]] for k in local])
                anchors.append(Anchors(np.array(local), weights))
            for row in simulated.scores[60:]:
                respondent = Respondent(found.bank, seen_by(row, found.bank, anchors))
                for estimator, scale in found.calibration.scales["both"].items():
                    parts = [respondent.estimate(t, estimator) for t in range(2)]
                    error = sum(part.value for part in parts) / 2 - row.mean()
                    stderr = scale.stderr(sum(part.variance for part in parts) / 4)
                    covered.setdefault(estimator, []).append(abs(error) <= NORMAL_95 * stderr)
    return covered


def test_intervals_cover_the_full_score_in_all_worlds():
    for estimator, covered in coverage(KINDS, range(1), 24, "uniform").items():
        assert 0.89 <= np.mean(covered) <= 0.99, estimator


@pytest.mark.slow
@pytest.mark.parametrize("method", ["uniform", "stratified", "parameters"])
@pytest.mark.parametrize("kind", KINDS)
def test_intervals_cover_between_92_and_98_percent_in_every_world(kind, method):
    for estimator, covered in coverage((kind,), range(20), 24, method).items():
        error = np.sqrt(0.02 * 0.98 / len(covered))  # of the share: processors round differently, and it moves
        assert 0.92 - error <= np.mean(covered) <= 0.98 + error, estimator
