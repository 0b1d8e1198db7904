"""`evomerge archive copy` and `check`; runs with damaged rows, or with a campaign that another version wrote."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

from tests.evomerge.conftest import Outcome

Command = Callable[..., Outcome]


def changed(evomerge: Command, finished: Path, out: Path, statement: str) -> Path:
    assert evomerge("archive", "copy", finished, out).code == 0
    with contextlib.closing(sqlite3.connect(out / "archive.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()
    return out


def test_a_copy_shows_the_same_front_and_is_whole(evomerge: Command, finished: Path, tmp_path: Path) -> None:
    assert evomerge("archive", "copy", finished, tmp_path / "copy").code == 0
    assert evomerge("pareto", tmp_path / "copy", "--json").out == evomerge("pareto", finished, "--json").out
    assert "whole: 12 candidates" in evomerge("archive", "check", tmp_path / "copy").out
    again = evomerge("archive", "copy", finished, tmp_path / "copy")
    assert (again.code, "expected nothing there" in again.err) == (1, True)


def test_a_damaged_row_is_named_and_a_search_does_not_go_on(evomerge: Command, finished: Path, tmp_path: Path) -> None:
    statement = "UPDATE outcomes SET seconds = 9.0 WHERE candidate = 11 AND split = 'search'"
    copy = changed(evomerge, finished, tmp_path / "copy", statement)
    found = evomerge("archive", "check", copy)
    assert (found.code, found.out.startswith("table outcomes, row (event ")) == (1, True)
    front = json.loads(evomerge("pareto", copy, "--json").out)
    assert front["evaluations"] == 11
    assert "1 row is damaged and left out: table outcomes" in front["notes"][0]
    resumed = evomerge("run", copy, "--evaluations", 13)
    assert (resumed.code, "a search cannot go on from it" in resumed.err) == (1, True)


def test_a_key_of_another_version_is_named_by_readers_and_refused_by_run(
    evomerge: Command, finished: Path, tmp_path: Path
) -> None:
    statement = "UPDATE campaign SET value = value || 'added_later: 1\n' WHERE key = 'campaign'"
    copy = changed(evomerge, finished, tmp_path / "copy", statement)
    pareto = evomerge("pareto", copy)
    assert (pareto.code, "does not know" in pareto.out, "added_later" in pareto.out) == (0, True, True)
    report = evomerge("report", copy, "--out", tmp_path / "page.html")
    assert report.code == 0
    assert "added_later" in (tmp_path / "page.html").read_text(encoding="utf-8")
    resumed = evomerge("run", copy, "--evaluations", 13)
    assert (resumed.code, "added_later" in resumed.err) == (1, True)
