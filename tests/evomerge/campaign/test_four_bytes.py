"""Scores that are no 0s and 1s take four bytes each, and a resume learns from the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evomerge.archive import Archive
from evomerge.archive.codec import pack_scores
from fitness.scores import ItemScores, in_four_bytes
from tests.evomerge.killing import contents
from tests.evomerge.toy_run import run_toy


@given(st.lists(st.floats(-1e30, 1e30, allow_subnormal=False).filter(lambda x: x != int(x)), min_size=1, max_size=20))
def test_margins_are_as_near_as_four_bytes_can_be_and_are_packed_in_as_many(values: list[float]) -> None:
    scores = in_four_bytes(ItemScores(tuple(map(str, range(len(values)))), np.array(values)))
    np.testing.assert_array_equal(scores.values, [float(np.float32(value)) for value in values])
    assert len(pack_scores(scores.values)) <= 1 + 4 * len(values)


@pytest.mark.parametrize("values", [[134515009.0, 0.5], [0.0, 1.0], [1e300, 0.25]])
def test_what_is_exact_or_too_large_stays(values: list[float]) -> None:
    scores = ItemScores(("a", "b"), np.array(values))
    assert in_four_bytes(scores) == scores


def test_a_search_keeps_four_bytes_and_is_resumed_to_the_same_end(tmp_path: Path) -> None:
    run_toy(tmp_path / "whole.sqlite", "cma_es", 40)
    run_toy(tmp_path / "halves.sqlite", "cma_es", 17)
    run_toy(tmp_path / "halves.sqlite", "cma_es", 40)
    assert contents(tmp_path / "whole.sqlite") == contents(tmp_path / "halves.sqlite")
    scores = Archive.read(tmp_path / "whole.sqlite").scores(20, "search")
    assert scores is not None
    assert (scores.values == scores.values.astype(np.float32)).all()


def test_a_search_of_an_older_version_goes_on_with_all_digits(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    run_toy(path, "cma_es", 5)
    archive = Archive.open(path)
    with archive.transaction() as connection:
        connection.execute("DELETE FROM campaign WHERE key = 'scores_in_four_bytes'")
    archive.close()
    run_toy(path, "cma_es", 10)
    archive = Archive.read(path)
    newest, first = archive.scores(9, "search"), archive.scores(0, "search")
    assert newest is not None
    assert first is not None
    assert (newest.values != newest.values.astype(np.float32)).any()
    assert (first.values == first.values.astype(np.float32)).all()
