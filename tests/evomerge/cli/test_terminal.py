"""What is drawn on a terminal: never wider than it, nothing stale left on it, and in files line by line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from evomerge.campaign import Progress
from evomerge.cli.pace import Pace
from evomerge.cli.terminal import between
from tests.evomerge.cli.terminals import shown

SEARCH = """
import time, numpy as np
from evomerge.campaign import Progress
from evomerge.campaign.events import CandidateTold, Noted, SearchEnded
from evomerge.candidate import Candidate, Evaluation
from evomerge.cli.progress import SearchProgress
from evomerge.cli.terminal import make_console
from fitness.scores import Estimate, ItemScores, ObjectiveEstimate

NAMES = ("名前" * 30, "acc[en]\\x1b[2J\\nsecond\\x07", *(f"objective {i}" for i in range(5)))
said = SearchProgress(make_console())
said.watch(Noted("reading parents and tasks", "名前", phase=True))
time.sleep(0.3)
progress = Progress(40)
for number in range(40):
    objectives = tuple(ObjectiveEstimate(n, 0.5 + number / 100, 0.01, 10, "full", 1.0) for n in NAMES)
    estimate = Estimate("search", objectives)
    scores = ItemScores(("a",), np.ones(1))
    label = "default TIES" if number == 0 else ""
    evaluation = Evaluation(Candidate(number, None, label), estimate, scores)
    progress.count(evaluation)
    said.watch(CandidateTold(evaluation, progress))
    time.sleep(0.01)
said.watch(SearchEnded("evaluations", progress))
"""


@pytest.mark.parametrize("columns", [40, 80, 100, 120])
def test_progress_takes_three_lines_at_any_width_whatever_names_hold(columns: int) -> None:
    found = shown(["-c", SEARCH], columns)
    assert found.code == 0, found.sent
    about = [line for line in found.lines if "40/40 candidates" in line]
    assert len(about) == 1
    end = found.lines.index(about[0])
    assert found.lines[end + 1].startswith("best mean 0.890, candidate 39")
    assert len(found.lines) == end + 4  # what follows are the objectives, and the last word
    assert found.lines[end + 3].startswith("searched for 0:00:0")
    assert "\x1b[2J" not in found.sent
    assert "0:00:00  reading parents and tasks" in found.sent


def test_the_best_without_a_search_stands_beside_the_best() -> None:
    found = shown(["-c", SEARCH], 100)
    assert any("without a search 0.500, default TIES" in line for line in found.lines)


@pytest.mark.parametrize(("environment", "colours"), [({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_no_colours_where_none_are_wanted(environment: dict[str, str], *, colours: bool) -> None:
    found = shown(["-c", SEARCH], 80, environment)
    assert ("\x1b[3" in found.sent or "\x1b[9" in found.sent) == colours
    assert found.lines[-1].startswith("searched for")


def test_in_a_file_progress_is_a_line_now_and_then() -> None:
    out = subprocess.run([sys.executable, "-c", SEARCH], capture_output=True, text=True, check=True).stdout
    lines = out.splitlines()
    assert "\x1b" not in out
    assert [line.split("  ")[0] for line in lines[1:-1]] == ["1/40 candidates", "40/40 candidates"]


def test_what_is_left_goes_by_the_last_ten_and_by_all_workers() -> None:
    pace, progress = Pace(0.0), Progress(100, done=20)
    for arrival in range(1, 5):  # four at a time, the first after a long preparation
        for _ in range(4):
            pace.arrived(100.0 + 40.0 * arrival, 4)
    assert pace.left(progress) == pytest.approx((800.0, 800.0))
    assert Pace(0.0).left(progress) is None


def test_the_hours_of_the_budget_are_a_limit_to_what_is_left() -> None:
    pace, progress = Pace(0.0), Progress(100, done=1, hours=1.0, seconds=3000.0)
    pace.arrived(60.0, 1)
    assert pace.left(progress) == (600.0, 600.0)


def test_tables_of_results_fit_80_columns_and_name_parents_and_the_next_command(finished: Path) -> None:
    pareto = shown(["-m", "evomerge.cli", "pareto", str(finished)], 80)
    for name in ("base", "alpha", "beta", "uniform mean"):
        assert any(line.startswith(f"│ {name} ") for line in pareto.lines)
    assert "export" in "".join(pareto.lines[-4:])
    verify = shown(["-m", "evomerge.cli", "verify", str(finished), "--top", "2"], 80)
    assert (pareto.code, verify.code) == (0, 0)
    text = " ".join(verify.sent.split())
    assert "against" not in text.partition("Candidate")[0]
    assert re.search(r"│ candidate \d+ less ", text)
    for table in (pareto, verify):
        rows = [line for line in table.lines if line[0] in "┏┡├└"]
        assert len(rows) > 3
        assert len({len(line) for line in rows}) == 1  # none is broken in two


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.2, 0.4, "at most 0.5 seconds"),
        (5.0, 5.0, "about 5 seconds"),
        (41.0, 58.0, "40 to 60 seconds"),
        (2400.0, 3500.0, "40 to 60 minutes"),
        (7300.0, 13000.0, "2 to 4 hours"),
        (86400.0 * 3, 86400.0 * 9, "3 to 9 days"),
    ],
)
def test_estimates_are_ranges_in_round_numbers(low: float, high: float, words: str) -> None:
    assert between(low, high) == words
