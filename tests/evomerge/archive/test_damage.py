"""Damaged rows are named and left out for readers; a search does not go on from them."""

from __future__ import annotations

import contextlib
import math
import random
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from evomerge.archive import Archive, ArchiveError
from evomerge.campaign.constraints import Constraints
from evomerge.results.front import read_front
from evomerge.results.recorded import recorded_versions
from evomerge.results.report.contents import read_contents
from tests.evomerge.archive.test_archive import filled
from tests.evomerge.archives import make_version_2

RECIPES = (b"\0", zlib.compress(b"[]"), zlib.compress(b'{"parents": {}}'), zlib.compress(b"{}")[:-3], b"")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "a.sqlite"
    filled(path).close()
    return path


def refusal(read: Callable[[Archive], object], archive: Archive) -> str | None:
    """Return the message of the ArchiveError that reading ends with; None where it does not."""
    try:
        read(archive)
    except ArchiveError as error:
        return str(error)
    return None


def damaged(whole: Path, tmp_path: Path, *statement: object, sealed: bool = True) -> Archive:
    """Copy, change what a statement says, and open; without digests as an older evomerge left it."""
    path = tmp_path / "a.sqlite"
    shutil.copy(whole, path)
    with sqlite3.connect(path) as connection:
        connection.execute(*statement)
    connection.close()
    if not sealed:
        make_version_2(path)
    return Archive.read(path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE candidates SET label = 'parent 7' WHERE number = 1",
        "UPDATE candidates SET genome = zeroblob(16) WHERE number = 3",
        "UPDATE candidates SET event = 3 WHERE number = 1",
        "UPDATE candidates SET recipe_digest = NULL WHERE number = 1",
    ],
)
def test_a_changed_candidate_is_named_by_its_number(whole: Path, tmp_path: Path, statement: str) -> None:
    archive = damaged(whole, tmp_path, statement)
    archive.find_damage()
    changed = 3 if "= 3" in statement and "number = 3" in statement else 1
    assert ("candidates", changed) in {(one.table, one.row) for one in archive.damage}
    assert [c.number for c in archive.candidates()] == [n for n in range(5) if n != changed]
    with pytest.raises(ArchiveError, match=rf"table candidates, row {changed}: its digest tells"):
        archive.candidate(changed)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("seconds", 7.5),
        ("objectives", '{"sums": [1.0, 0.1, 4], "words": [0.5, 0.1, 4]}'),
        ("scores", b"b\xff"),
        ("split", "test"),
    ],
)
def test_a_changed_outcome_is_named_and_left_out(whole: Path, tmp_path: Path, column: str, value: object) -> None:
    archive = damaged(whole, tmp_path, f"UPDATE outcomes SET {column} = ? WHERE event = 2 AND position = 1", (value,))
    assert [record.number for record in archive.records()] == [0, 2, 3]
    assert [str(one) for one in archive.damage] == [
        "table outcomes, row (event 2, position 1): its digest tells that it is not what was committed"
    ]
    assert archive.scores(1, "search") is None
    with pytest.raises(ArchiveError, match="a search cannot go on from it"):
        list(archive.history())


def test_missing_rows_are_noticed(whole: Path, tmp_path: Path) -> None:
    for n, (statement, named) in enumerate(
        {
            "DELETE FROM candidates WHERE number = 2": {"events", "outcomes"},
            "DELETE FROM outcomes WHERE position = 1": {"events"},
            "DELETE FROM events WHERE seq = 1": {"candidates", "events"},
            "DELETE FROM events": {"candidates", "outcomes"},
        }.items()
    ):
        (tmp_path / str(n)).mkdir()
        archive = damaged(whole, tmp_path / str(n), statement)
        archive.find_damage()
        assert {one.table for one in archive.damage} == named, statement
        read_front(archive)


def test_a_row_of_another_archive_is_damage(whole: Path, tmp_path: Path) -> None:
    filled(tmp_path / "other.sqlite").close()
    path = tmp_path / "a.sqlite"
    shutil.copy(whole, path)
    with sqlite3.connect(path) as connection:
        connection.execute("ATTACH ? AS other", (str(tmp_path / "other.sqlite"),))
        connection.execute("INSERT OR REPLACE INTO outcomes SELECT * FROM other.outcomes WHERE event = 2")
    connection.close()
    archive = Archive.read(path)
    assert [record.number for record in archive.records()] == [3]
    assert len(archive.damage) == 3


@pytest.mark.parametrize("recipe", RECIPES, ids=range(len(RECIPES)))
def test_a_recipe_without_digest_that_cannot_be_read_is_left_out(whole: Path, tmp_path: Path, recipe: bytes) -> None:
    statement = "UPDATE candidates SET recipe = ? WHERE number = 1"
    archive = damaged(whole, tmp_path, statement, (recipe,), sealed=False)
    assert [c.number for c in archive.candidates()] == [0, 2, 3, 4]
    assert 1 not in {point.candidate.number for point in read_front(archive).points}
    assert any("row 1: its recipe cannot be read" in note for note in read_front(archive).notes)


@pytest.mark.parametrize(
    "objectives", ["{", "[]", "{}", '{"x": [1, 0.1, 10]}', '{"sums": ["x", 0, 4], "words": [1, 0, 4]}']
)
def test_an_estimate_without_digest_that_cannot_be_read_is_left_out(
    whole: Path, tmp_path: Path, objectives: str
) -> None:
    statement = "UPDATE outcomes SET objectives = ? WHERE event = 2 AND position = 1"
    archive = damaged(whole, tmp_path, statement, (objectives,), sealed=False)
    assert [record.number for record in archive.records()] == [0, 2, 3]
    assert [one.row for one in archive.damage] == ["(event 2, position 1)"]


@pytest.mark.parametrize("at", [1e300, -5.0, "x"])
def test_a_time_that_cannot_be_is_damage(whole: Path, tmp_path: Path, at: object) -> None:
    archive = damaged(whole, tmp_path, "UPDATE events SET at = ? WHERE seq = 2", (at,), sealed=False)
    assert [record.number for record in archive.records()] == [3]


@pytest.mark.parametrize("seconds", [float("inf"), float("-inf")])
def test_seconds_that_cannot_be_are_not_added_to_others(whole: Path, tmp_path: Path, seconds: float) -> None:
    statement = "UPDATE outcomes SET seconds = ? WHERE event = 2 AND position = 1"
    archive = damaged(whole, tmp_path, statement, (seconds,))
    assert all(math.isfinite(number) for moment in archive.worked() for number in moment)


@pytest.mark.parametrize(
    "key", ["verification", "versions", "genes", "constraints", "held_out_constraints", "search_items"]
)
@pytest.mark.parametrize("value", ["{", "[1]", "", "null", "[" * 5000])
def test_a_damaged_note_ends_with_its_key_or_is_left_out(whole: Path, tmp_path: Path, key: str, value: str) -> None:
    archive = damaged(whole, tmp_path, "INSERT OR REPLACE INTO campaign VALUES (?, ?)", (key, value))
    for read in (read_front, read_contents, Constraints.of, recorded_versions):
        refused = refusal(read, archive)
        assert refused is None or f"row {key}" in refused


def test_a_few_bytes_that_inflate_to_gigabytes_are_refused(whole: Path, tmp_path: Path) -> None:
    bomb = zlib.compressobj(9)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(300)) + bomb.flush()
    archive = damaged(whole, tmp_path, "UPDATE candidates SET recipe = ? WHERE number = 1", (packed,), sealed=False)
    with pytest.raises(ArchiveError, match="more than 268435456 bytes"):
        archive.candidate(1)


def test_flipped_bits_never_change_what_is_read(whole: Path, tmp_path: Path) -> None:
    expected = {r.number: r.estimate for r in Archive.read(whole).records()}
    rng, content, path = random.Random(1), whole.read_bytes(), tmp_path / "a.sqlite"
    for _ in range(150):
        flipped = bytearray(content)
        for _ in range(rng.choice((1, 20))):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        with contextlib.suppress(ArchiveError), contextlib.closing(Archive.read(path)) as archive:
            found = {r.number: r.estimate for r in archive.records()}
            read_front(archive)
            assert found.items() <= expected.items()
            assert found == expected or archive.damage


@pytest.mark.parametrize("open_archive", [Archive.read, Archive.open])
def test_with_any_bit_of_a_page_header_flipped_opening_it_is_whole_or_a_message(
    whole: Path, tmp_path: Path, open_archive: Callable[[Path], Archive]
) -> None:
    content, path, refused = whole.read_bytes(), tmp_path / "flipped.sqlite", 0
    for bit in range(12 * 8):  # of the second page, the campaign's own table
        flipped = bytearray(content)
        flipped[4096 + bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            open_archive(path).close()
        except ArchiveError:
            refused += 1
    assert refused
