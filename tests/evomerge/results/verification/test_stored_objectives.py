"""Objectives that are not what the scores beside them give are told."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from evomerge.archive import Archive
from evomerge.results.verification.stored_objectives import check_objectives
from tests.evomerge.archive.test_archive import filled
from tests.evomerge.archives import make_version_2
from tests.evomerge.toy import ToyEstimator


def test_changed_objectives_are_told_by_candidate_and_value(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    filled(path).close()
    make_version_2(path)  # where no digest tells it
    archive = Archive.read(path)
    assert check_objectives(archive, ToyEstimator(), archive.candidates()) == []
    before = archive.records()[1].estimate
    assert before is not None
    archive.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        sums = f"$.{before.objectives[0].name}[0]"
        connection.execute(
            "UPDATE outcomes SET objectives = json_set(objectives, ?, 0.0625) WHERE candidate = 1", (sums,)
        )
        connection.commit()
    archive = Archive.read(path)
    (line,) = check_objectives(archive, ToyEstimator(), archive.candidates())
    value = f"{before.objectives[0].value:.6g} by its scores"
    assert f"candidate 1: {before.objectives[0].name} is 0.0625 there, {value}" in line
