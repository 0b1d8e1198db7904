"""Where an archive lies: read-only places, logs that are left behind, deleted and replaced files, copies."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evomerge.archive import Archive, ArchiveError
from evomerge.archive.errors import sqlite_error
from evomerge.archive.file import open_to_read
from evomerge.archive.watching import watched
from evomerge.candidate import Candidate
from tests.evomerge.archive.test_archive import filled
from tests.evomerge.archives import make_version_2
from tests.evomerge.toy import weights_recipe
from tests.evomerge.toy_run import run_toy

BESIDE = ("-wal", "-shm", "-journal")
FILL_AND_WAIT = """
import sys, time
from pathlib import Path
from tests.evomerge.archive.test_archive import filled
from tests.evomerge.archives import make_version_2
archive = filled(Path(sys.argv[1]))
print("filled", flush=True)
time.sleep(600)
"""


def killed(path: Path, wal: bool = True) -> Path:
    """Fill an archive as a kill leaves it: rows in the log that are not in the file."""
    writer = filled(path)
    copies = [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]
    kept = {copy: copy.read_bytes() for copy in copies}
    writer.close()
    for copy, content in kept.items():
        if wal or not copy.name.endswith(BESIDE):
            copy.write_bytes(content)
    return path


def asked(archive: Archive, number: int) -> None:
    archive.asked([Candidate(number, weights_recipe(0.1, 0.1))], 1)


@pytest.mark.parametrize("where", ["{}", ".{}.new"])
def test_what_a_deleted_archive_left_does_not_enter_a_new_one(tmp_path: Path, where: str) -> None:
    path = killed(tmp_path / "old.sqlite")
    for suffix in BESIDE:
        left = tmp_path / (where.format("a.sqlite") + suffix)
        left.write_bytes(path.with_name("old.sqlite-wal").read_bytes())
    archive = Archive.create(tmp_path / "a.sqlite", "name: new\n")
    assert (archive.n_candidates, archive.campaign) == (0, "name: new\n")
    archive.close()
    assert [file.name for file in tmp_path.glob("*a.sqlite*")] == ["a.sqlite"]


def test_the_log_of_another_archive_is_refused_before_it_is_replayed(tmp_path: Path) -> None:
    path, other = killed(tmp_path / "a.sqlite"), tmp_path / "other.sqlite"
    writer = filled(other)
    asked(writer, 5)
    writer.close()
    shutil.copy(other, path)  # a backup is put back, what lay beside stays
    content = path.read_bytes()
    with pytest.raises(ArchiveError, match=r"a\.sqlite-wal: it does not fit a\.sqlite .*move a\.sqlite-wal away"):
        Archive.open(path)
    assert path.read_bytes() == content
    path.with_name("a.sqlite-wal").unlink()
    assert Archive.open(path).n_candidates == 6


def test_an_archive_is_whole_in_its_one_file_soon_after_every_commit_and_at_its_end(tmp_path: Path) -> None:
    path, copy = tmp_path / "a.sqlite", tmp_path / "copy.sqlite"
    archive = filled(path)
    with watched(archive):
        for number in range(5, 40):  # a burst, then a candidate that takes its time
            asked(archive, number)
        deadline = time.monotonic() + 60
        while archive.unsettled and time.monotonic() < deadline:
            time.sleep(0.05)
        shutil.copy(path, copy)
        assert Archive.read(copy).n_candidates == 40
    asked(archive, 40)
    archive.close()
    assert [file.name for file in tmp_path.glob("a.sqlite*")] == ["a.sqlite"]
    shutil.copy(path, tmp_path / "end.sqlite")
    assert Archive.read(tmp_path / "end.sqlite").n_candidates == 41


def test_a_killed_process_leaves_what_it_told_in_the_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    process = subprocess.Popen([sys.executable, "-c", FILL_AND_WAIT, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "filled\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    shutil.copy(path, tmp_path / "copy.sqlite")
    assert Archive.read(tmp_path / "copy.sqlite").n_candidates >= 3
    assert Archive.open(path).n_candidates == 5


@pytest.mark.parametrize("harm", ["delete", "move", "delete the directory", "replace", "delete the log"])
def test_a_commit_into_a_file_that_is_gone_is_an_error_and_calls_nothing_saved(tmp_path: Path, harm: str) -> None:
    run = tmp_path / "run"
    run.mkdir()
    archive = filled(run / "a.sqlite")
    if harm == "delete":
        (run / "a.sqlite").unlink()
    elif harm == "move":
        run.rename(tmp_path / "elsewhere")
    elif harm == "delete the directory":
        shutil.rmtree(run)
    elif harm == "replace":
        shutil.copy(run / "a.sqlite", tmp_path / "copy")
        (tmp_path / "copy").replace(run / "a.sqlite")
    else:
        (run / "a.sqlite-wal").unlink()
    with pytest.raises(ArchiveError, match=r"deleted|replaced") as caught:
        asked(archive, 5)
    assert "saved" not in str(caught.value)
    archive.close()
    if harm == "move":
        assert Archive.read(tmp_path / "elsewhere" / "a.sqlite").n_candidates == 6
    if harm == "delete the log":
        assert Archive.open(run / "a.sqlite").n_candidates == 6


def test_the_loss_of_an_archive_is_noticed_between_commits(tmp_path: Path) -> None:
    archive, calls = filled(tmp_path / "a.sqlite"), []
    with watched(archive, lambda: calls.append(1)):
        (tmp_path / "a.sqlite").unlink()
        deadline = time.monotonic() + 60
        while not calls and time.monotonic() < deadline:
            time.sleep(0.05)
    assert calls


def test_another_archive_that_is_written_over_the_file_is_noticed(tmp_path: Path) -> None:
    archive = filled(tmp_path / "a.sqlite")
    archive.checkpoint()
    for _ in range(3):
        archive.check_presence(inside=True)
    filled(tmp_path / "other.sqlite").close()
    (tmp_path / "a.sqlite").write_bytes((tmp_path / "other.sqlite").read_bytes())  # the same inode
    archive.check_presence(inside=True)  # once may be chance
    with pytest.raises(ArchiveError, match="was replaced by another file") as caught:
        archive.check_presence(inside=True)
    assert "saved" not in str(caught.value)


def test_two_writers_end_with_a_message_for_people_and_lose_nothing(tmp_path: Path) -> None:
    first = filled(tmp_path / "a.sqlite")
    second = Archive.open(tmp_path / "a.sqlite")
    asked(first, 5)
    with pytest.raises(ArchiveError, match="another process has written to it meanwhile"):
        asked(second, 5)
    asked(first, 6)
    assert first.n_candidates == 7
    first.refuse_damage()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
@pytest.mark.parametrize("log", [True, False], ids=["with a log", "alone"])
def test_a_read_only_directory_is_read(tmp_path: Path, log: bool) -> None:
    run = tmp_path / "run"
    run.mkdir()
    path = killed(run / "a.sqlite", wal=log)
    path.with_name("a.sqlite-shm").unlink(missing_ok=True)
    for file in (*run.iterdir(), run):
        file.chmod(0o555)
    try:
        archive = Archive.read(path)
        assert archive.n_candidates == 5 if log else archive.n_candidates >= 3
        archive.close()
        with pytest.raises(ArchiveError, match=r"may only be read|permission denied"):
            Archive.open(path).note("key", "value")
    finally:
        run.chmod(0o755)


def test_an_archive_that_can_only_be_read_in_its_place_is(tmp_path: Path) -> None:
    """The same for who may write anywhere: SQLite is refused its shared memory by a directory in its place."""
    path = killed(tmp_path / "a.sqlite")
    path.with_name("a.sqlite-shm").unlink()
    path.with_name("a.sqlite-shm").mkdir()
    opened = open_to_read(path)
    assert opened.connection.execute("SELECT count(*) FROM candidates").fetchone() == (5,)
    opened.close()
    path.with_name("a.sqlite-wal").unlink()
    opened = open_to_read(path)
    assert opened.connection.execute("SELECT count(*) FROM candidates").fetchone()[0] >= 0
    opened.close()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (sqlite3.SQLITE_FULL, "the disk is full"),
        (sqlite3.SQLITE_READONLY_DIRECTORY, "may only be read"),
        (sqlite3.SQLITE_IOERR_FSYNC, "disk or the network file system failed"),
        (sqlite3.SQLITE_CORRUPT, "the file is damaged"),
        (sqlite3.SQLITE_NOTADB, "no SQLite database"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "another process is writing"),
        (sqlite3.SQLITE_CANTOPEN, "permission denied"),
    ],
)
def test_what_sqlite_says_is_told_apart(tmp_path: Path, code: int, told: str) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    assert told in str(sqlite_error(tmp_path / "a.sqlite", "read", error))


def test_a_copy_of_a_live_archive_is_whole_and_replaces_nothing(tmp_path: Path) -> None:
    archive = filled(tmp_path / "a.sqlite")
    copy = tmp_path / "new" / "archive.sqlite"
    Archive.read(tmp_path / "a.sqlite").copy(copy)
    assert [file.name for file in copy.parent.iterdir()] == ["archive.sqlite"]
    found = Archive.read(copy)
    found.refuse_damage()
    assert [r.estimate for r in found.records()] == [r.estimate for r in archive.records()]
    with pytest.raises(ArchiveError, match="expected nothing there"):
        archive.copy(copy)


def test_an_older_archive_gets_digests_with_its_next_event(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    filled(path).close()
    make_version_2(path)
    archive = Archive.open(path)
    assert not archive.has_digests
    assert len(list(archive.history())) == 4
    asked(archive, 5)
    assert archive.has_digests
    archive.close()
    reader = Archive.read(path)
    assert (reader.noted("schema_version"), len(list(reader.history()))) == ("3", 5)
    reader.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE candidates SET label = 'x'")
    connection.close()
    archive = Archive.read(path)
    archive.find_damage()
    assert [one.row for one in archive.damage] == [5]


def test_looking_at_an_archive_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    filled(path).close()
    for _ in range(2):
        reader = Archive.read(path)
        assert reader.n_candidates == 5
        reader.close()
        assert [file.name for file in tmp_path.iterdir()] == ["a.sqlite"]


def test_a_search_that_an_older_version_began_goes_on_as_if_it_were_todays(tmp_path: Path) -> None:
    whole, old = tmp_path / "whole.sqlite", tmp_path / "old.sqlite"
    run_toy(whole, "cma_es", 24)
    run_toy(old, "cma_es", 11)
    make_version_2(old)
    run_toy(old, "cma_es", 24)
    expected, found = Archive.read(whole), Archive.read(old)
    assert [c.recipe for c in found.candidates()] == [c.recipe for c in expected.candidates()]
    assert [r.estimate for r in found.records()] == [r.estimate for r in expected.records()]
    assert found.damage == ()
