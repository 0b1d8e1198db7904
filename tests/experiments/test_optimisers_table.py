"""The table of searches compares what belongs together, and its figure can be drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.optimisers.__main__ import _rows
from experiments.optimisers.figure import draw, in_words, interval
from experiments.optimisers.runs import Run


def found(search: str, seed: int, winner: float, uniform_mean: float | None = 0.5) -> Run:
    landmarks = {"best parent": 0.3} | ({} if uniform_mean is None else {"uniform mean": uniform_mean})
    return Run(search, seed, 60, hypervolume=0.4 + seed / 10, winner=winner, landmarks=landmarks)


RUNS = [
    found("random", 0, 0.5),
    found("random", 1, 0.9),
    found("nsga2", 0, 0.6),
    found("nsga2", 1, 1.0),
    found("flow", 1, 0.4, None),
]


def test_differences_are_of_the_same_seed() -> None:
    rows = {row[0]: row for row in _rows(RUNS)}
    assert rows["nsga2"] == ("nsga2", "2", "45.0 ± 63.5", "+0.0 ± 0.0", "80.0 ± 254.1", "+10.0 ± 0.0", "+50.0 ± 254.1")
    assert rows["flow"][4:6] == ("40.0", "-50.0")
    assert (rows["random"][3], rows["random"][5]) == ("", "")


def test_landmarks_stand_below_the_searches() -> None:
    best, uniform, _ = _rows(RUNS)[-3:]
    assert (uniform[0], uniform[4]) == ("uniform mean", "50.0 ± 0.0")
    assert (best[0], best[4], best[6]) == ("best parent", "30.0 ± 0.0", "")


def test_an_interval_is_students() -> None:
    """Five values of standard deviation √2.5: 2.776 standard errors, of the tables."""
    assert interval([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx((3.0, 2.776 * (2.5 / 5) ** 0.5), abs=1e-3)
    assert in_words([]) == ""


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    draw(RUNS, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
