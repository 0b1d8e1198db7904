"""Emulators answer as the merges that they were fitted to, and searches of them are compared seed by seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from experiments.surrogate_benchmark.emulator import Emulator, Kernel, places
from experiments.surrogate_benchmark.figure import draw
from experiments.surrogate_benchmark.fitting import fit
from experiments.surrogate_benchmark.kept import Kept
from experiments.surrogate_benchmark.matrices import SOURCES, Answers
from experiments.surrogate_benchmark.runs import Row
from experiments.surrogate_benchmark.searches import EMULATORS, one_search, searches
from experiments.surrogate_benchmark.tables import cells

N_MERGES, N_ITEMS, DIM = 60, 40, 3


@pytest.fixture(scope="module")
def answers() -> Answers:
    """Answers of a logistic model with one ability, which is linear in the genes."""
    rng = np.random.default_rng(0)
    genomes = rng.random((N_MERGES, DIM))
    chances = expit(4.0 * (genomes @ [1.0, 1.0, -1.0] - 0.5)[:, None] + rng.normal(0.0, 1.0, N_ITEMS))
    items = tuple(f"{task}/{i}" for i in range(N_ITEMS // 2) for task in ("words", "sums"))
    scores = (rng.random(chances.shape) < chances).astype(np.float64)
    return Answers(items, genomes, scores, {"base": scores[0]})


@pytest.fixture(scope="module")
def emulator(answers: Answers) -> Emulator:
    return fit(answers)


def test_worlds_score_real_merges_as_they_scored(answers: Answers, emulator: Emulator) -> None:
    real = answers.scores[:, places(answers.items, emulator.items)]
    emulated = np.mean([emulator.world(seed).probabilities(answers.genomes) for seed in range(10)], axis=0)
    assert np.corrcoef(real.mean(axis=1), emulated.mean(axis=1))[0, 1] > 0.9
    assert np.corrcoef(real.mean(axis=0), emulated.mean(axis=0))[0, 1] > 0.9


def test_answers_are_the_same_whenever_they_are_asked(answers: Answers, emulator: Emulator) -> None:
    world, some = emulator.world(3), np.array([37, 2, 21])
    everything = world.answers(answers.genomes, np.arange(N_ITEMS))
    assert (world.answers(answers.genomes[5:7], some) == everything[5:7, some]).all()
    assert (emulator.world(3).answers(answers.genomes, some) == everything[:, some]).all()
    assert set(np.unique(everything)) == {0.0, 1.0}


def test_shares_of_right_answers_are_the_chances_and_neighbours_answer_alike(emulator: Emulator) -> None:
    genomes, items = np.random.default_rng(1).random((100, DIM)), np.arange(N_ITEMS)
    worlds = [emulator.world(seed) for seed in range(20)]
    off = [w.answers(genomes, items) - w.probabilities(genomes) for w in worlds]
    assert abs(np.mean(off)) < 0.01
    near = [(w.answers(genomes, items) != w.answers(genomes + 0.01, items)).mean() for w in worlds]
    far = [(w.answers(genomes, items) != w.answers(1.0 - genomes, items)).mean() for w in worlds]
    assert np.mean(near) < np.mean(far) / 5


def test_an_emulator_is_read_as_it_was_written(emulator: Emulator, tmp_path: Path) -> None:
    emulator.save(tmp_path / "emulator.npz")
    read = Emulator.load(tmp_path / "emulator.npz")
    assert read.items == emulator.items
    assert (read.landmarks["base"] == emulator.landmarks["base"]).all()
    genomes = np.full((1, DIM), 0.3)
    assert read.world(1).probabilities(genomes) == pytest.approx(emulator.world(1).probabilities(genomes), abs=1e-3)


def test_a_kernel_is_its_formula() -> None:
    kernel = Kernel(np.array([0.5, 2.0]), np.array([0.3, 0.0]), 0.7)
    one, other = np.array([0.1, 0.9]), np.array([0.6, 0.4])
    expected = 0.7 * np.exp(-0.5 * ((0.5 / 0.5) ** 2 + (0.5 / 2.0) ** 2)) + 0.3 * (0.1 - 0.5) * (0.6 - 0.5)
    assert kernel(one[None], other[None])[0, 0] == pytest.approx(expected)


def test_genomes_of_the_committed_matrix_are_those_of_its_seed() -> None:
    """With the wrong genomes nothing about a merge's score could be predicted from them."""
    answers = SOURCES["smollm"].read()
    means = answers.scores[:, answers.tasks["arithmetic"]].mean(axis=1)
    design = np.column_stack([answers.genomes, np.ones(len(means))])
    known = np.arange(len(means)) < 200
    slopes = np.linalg.lstsq(design[known], means[known], rcond=None)[0]
    assert np.corrcoef(design[~known] @ slopes, means[~known])[0, 1] > 0.85


ROW = Row("smollm", "mean", "random", 0, 40, 2400, 0.5, 0.1, 0.3)
ROWS = [
    ROW,
    replace(ROW, seed=1, winner=0.7),
    replace(ROW, search="cma_es", winner=0.52),
    replace(ROW, search="cma_es", seed=1, winner=0.76),
    replace(ROW, search="cma_es", seed=2, winner=0.1),  # random search has no such seed
]


def test_differences_are_of_the_same_seed() -> None:
    """+2 and +6 points: 4 on average, with 12.706 standard errors of 2 (Student's t, one degree of freedom)."""
    _, found = cells(ROWS)
    assert found.seeds == 2
    assert [found.over, found.value] == pytest.approx([4.0, 64.0])
    assert found.half_width == pytest.approx(12.706 * 2.0, rel=1e-3)
    assert found.in_words == "+4.0 ± 25.4"


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    draw(cells(ROWS), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_rows_are_kept_and_a_line_that_was_cut_off_is_run_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "runs" / "rows.jsonl")
    kept.add(ROWS[:2])
    whole = kept.path.read_text()
    kept.path.write_text(whole[:-20])
    assert list(kept.read().values()) == ROWS[:1]
    kept.add(ROWS[1:])
    assert list(kept.read().values()) == ROWS


@pytest.mark.parametrize("setting", ["mean", "front"])
def test_a_search_of_an_emulated_world_ends_with_a_winner_and_repeats_itself(setting: str) -> None:
    if not (EMULATORS / "smollm.npz").exists():
        pytest.fail("the emulator is committed")
    (wanted,) = searches(["smollm"], [setting], ["nsga2"], [30], n_seeds=1)  # type: ignore[list-item]
    row = one_search(wanted)
    assert (row.evaluations, row.answers) == (30, 30 * 60)
    assert row.best_parent < row.winner < 1.0
    assert row == one_search(wanted)
