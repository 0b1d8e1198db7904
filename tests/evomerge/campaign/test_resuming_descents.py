"""A descent that is killed with its process goes on from its last snapshot, and takes no step twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from evomerge.archive import Archive
from evomerge.optimisers.gradient.descent import NOTE
from tests.evomerge.killing import contents, killed_and_resumed_equals_whole
from tests.evomerge.toy_run import run_toy


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_killed_descent_resumes_to_the_archive_of_a_whole_one(tmp_path: Path, seed: int) -> None:
    killed_and_resumed_equals_whole(tmp_path, "gradient", seed)


def test_a_longer_budget_goes_on_from_the_notes_of_a_shorter_one(tmp_path: Path) -> None:
    whole, extended = tmp_path / "whole.sqlite", tmp_path / "extended.sqlite"
    run_toy(whole, "gradient", 20)
    run_toy(extended, "gradient", 11)
    run_toy(extended, "gradient", 20)
    assert contents(extended) == contents(whole)
    notes = [Archive.read(path).noted(NOTE) for path in (whole, extended)]
    assert notes[0] == notes[1]
