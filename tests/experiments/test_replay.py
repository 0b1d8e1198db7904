"""The replay counts item evaluations rightly, and its strategies are what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.reduction.calibrations import Calibration, calibrate
from experiments.reduction.draws import Benchmark, Draw, draw, read_benchmark
from experiments.reduction.lines import Line, lines
from experiments.reduction.outcomes import Outcome, affordable, gathered, needed, simulate
from experiments.reduction.strategies import Pick, best_finalist, best_of, halving
from experiments.reduction.tables import as_markdown, tables

TASKS = ("a", "b", "c")
N_MODELS, PER_TASK = 40, 24


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    """Forty merges and two parents; abilities and difficulties drawn, answers right or wrong."""
    rng = np.random.default_rng(0)
    names = ["left", "right", *(f"random {i}" for i in range(N_MODELS))]
    chance = 1 / (1 + np.exp(rng.normal(0, 1, 3 * PER_TASK) - rng.normal(0, 1, (len(names), 1))))
    answers = (rng.random(chance.shape) < chance).astype(float)
    items = [f"{task}/{i}" for task in TASKS for i in range(PER_TASK)]
    path = tmp_path_factory.mktemp("matrix") / "matrix.json"
    path.write_text(json.dumps({m: dict(zip(items, row, strict=True)) for m, row in zip(names, answers, strict=True)}))
    return read_benchmark(path, ["left", "right"])


@pytest.fixture(scope="module")
def calibration(benchmark: Benchmark) -> Calibration:
    return calibrate(benchmark, 20, [6, 12], seed=0)


@pytest.fixture
def drawn(benchmark: Benchmark) -> Draw:
    return draw(benchmark, benchmark.merges, seed=3)


def test_a_draw_holds_the_benchmarks_answers_in_another_order(benchmark: Benchmark, drawn: Draw) -> None:
    assert sorted(drawn.rows) == list(range(2, 2 + N_MODELS))
    np.testing.assert_array_equal(drawn.scores, benchmark.matrix.scores[drawn.rows][:, drawn.columns])
    np.testing.assert_allclose(drawn.means(drawn.n_items), benchmark.truth[drawn.rows])


@pytest.mark.parametrize("n", [3, 12, 30])
def test_the_first_items_of_a_draw_hold_as_many_of_every_task(drawn: Draw, n: int) -> None:
    assert np.bincount(drawn.task[:n]).tolist() == [n // 3] * 3
    by_task = [drawn.scores[:, :n][:, drawn.task[:n] == t].mean(axis=1) for t in range(3)]
    np.testing.assert_allclose(drawn.means(n), np.mean(by_task, axis=0))


def test_full_evaluation_finds_the_best_and_asks_everything(drawn: Draw) -> None:
    pick = best_of(drawn, drawn.n_items, drawn.means(drawn.n_items))
    assert pick == Pick(int(drawn.means(drawn.n_items).argmax()), N_MODELS * 3 * PER_TASK)


def test_finalists_cost_what_they_have_not_answered_yet(drawn: Draw) -> None:
    pick = best_finalist(drawn, 12, drawn.means(12))
    assert pick.evaluations == 12 * N_MODELS + 10 * (3 * PER_TASK - 12)
    finalists = np.argsort(-drawn.means(12), kind="stable")[:10]
    assert pick.candidate == finalists[drawn.means(drawn.n_items)[finalists].argmax()]


def test_halving_doubles_the_items_of_half_the_candidates(drawn: Draw) -> None:
    # 40 on 3 items, 20 on 6, 10 on 12, 5 on 24, 2 on 48; then one is left.
    assert halving(drawn, 3, drawn.means).evaluations == 3 * 40 + 3 * 20 + 6 * 10 + 12 * 5 + 24 * 2
    # 40 on 12, 20 on 24, 10 on all 72.
    assert halving(drawn, 12, drawn.means, finalists=10).evaluations == 12 * 40 + 12 * 20 + 48 * 10


def test_halving_from_all_items_is_full_evaluation(drawn: Draw) -> None:
    n = drawn.n_items
    assert halving(drawn, n, drawn.means) == best_of(drawn, n, drawn.means(n))


def test_response_models_know_no_candidate_and_what_they_cost(benchmark: Benchmark, calibration: Calibration) -> None:
    made = calibration
    assert len(made.candidates) == N_MODELS - 20
    assert not set(made.candidates) & {0, 1}
    assert made.evaluations == (20 + 2) * 72
    drawn = draw(benchmark, made.candidates, seed=0)
    found = made.estimates(drawn.rows, drawn.columns[:12], "p-irt")
    means = made.estimates(drawn.rows, drawn.columns[:12], "mean")
    np.testing.assert_allclose(means, drawn.means(12))
    truth = benchmark.truth[drawn.rows]
    assert np.abs(found - truth).mean() < np.abs(means - truth).mean()
    anchors = [benchmark.matrix.items.index(item) for item in made.reduced[12].anchors]
    assert len(anchors) == 12
    reduced = made.reduced_estimates(drawn.rows, 12)
    if made.reduced[12].estimator == "mean":
        np.testing.assert_allclose(reduced, made.estimates(drawn.rows, np.array(anchors), "mean"))
    assert np.corrcoef(reduced, truth)[0, 1] > 0.5


@pytest.mark.parametrize("line", lines(mixtures=True), ids=lambda line: line.name)
def test_no_strategy_asks_more_than_full_evaluation_and_regrets_are_not_negative(
    benchmark: Benchmark, calibration: Calibration, line: Line
) -> None:
    short = replace(line, sizes=(6, 12))
    for each in simulate(1, benchmark=benchmark, strategies=[short], calibrations=[calibration], counts=[10, 20, 40]):
        assert each.regret >= 0.0
        assert each.evaluations <= each.candidates * 72
        assert each.candidates <= (20 if line.calibrated else 40)


def test_probabilities_have_wilsons_intervals() -> None:
    regrets = [0.0] * 60 + [0.01] * 35 + [0.05] * 5
    outcomes = [Outcome("s", 50, 12, regret, 100) for regret in regrets]
    (point,) = gathered(outcomes, most_regret=0.01, calibration_of={"s": 900})
    assert point.probability == 0.95
    # Wilson (1927), 95 of 100: (0.8882, 0.9785).
    assert point.low == pytest.approx(0.8882, abs=5e-4)
    assert point.high == pytest.approx(0.9785, abs=5e-4)
    assert point.regret == 0.01
    assert point.times_fewer(72) == 36.0
    assert point.times_fewer(72, calibrated=True) == 3.6


def test_needed_is_the_cheapest_size_that_is_right_often_enough_and_affordable_the_best_within_a_budget() -> None:
    right = {6: 0.5, 12: 0.95, 24: 0.97}
    outcomes = [
        Outcome("s", 50, n, 0.0 if i < 100 * share else 0.1, 50 * n) for n, share in right.items() for i in range(100)
    ]
    points = gathered(outcomes, most_regret=0.01, calibration_of={})
    cheapest = needed(points, "s", 50, 0.95)
    assert cheapest is not None
    assert cheapest.n == 12
    assert needed(points, "s", 50, 0.99) is None
    within = affordable(points, "s", 50, 50 * 6)
    assert within is not None
    assert within.n == 6
    assert affordable(points, "s", 50, 50) is None


def test_tables_have_a_row_for_every_strategy_and_a_column_for_every_regret() -> None:
    outcomes = [Outcome(name, 50, 12, 0.02, 600) for name in ("s", "t") for _ in range(10)]
    by_regret = {regret: gathered(outcomes, most_regret=regret, calibration_of={"t": 600}) for regret in (0.01, 0.02)}
    (_, by_strategy), (_, all_regrets) = tables(by_regret, [50], 72)
    assert [row[:3] for row in by_strategy[2:]] == [("s", "", "not reached"), ("t", "", "not reached")]
    assert all_regrets[1:] == [("s", "not reached", "6.0"), ("t", "not reached", "6.0")]
    (_, by_strategy), _ = tables({0.02: by_regret[0.02]}, [50], 72)
    assert by_strategy[3] == ("t", "12", "600", "6.0", "3.0", "100.0 % (72 to 100)", "")
    assert as_markdown("title", all_regrets)[-1] == "| t | not reached | 6.0 |"


def test_a_parent_that_the_matrix_lacks_is_named(benchmark: Benchmark, tmp_path: Path) -> None:
    path = tmp_path / "matrix.json"
    path.write_text(json.dumps({m: {"a/0": 1.0} for m in benchmark.matrix.models}))
    with pytest.raises(ValueError, match="found 'middle'"):
        read_benchmark(path, ["middle"])
