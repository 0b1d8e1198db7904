"""A file that a command writes is whole, or what it was; and whether it can be written is told before the work."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from evomerge.whole_file import OutputError, prepared_file


def test_nothing_is_there_before_the_content_is(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    write = prepared_file(file)
    assert os.listdir(tmp_path) == []
    assert write("{}\n") == file
    assert (os.listdir(tmp_path), file.read_text()) == (["scores.json"], "{}\n")


def test_what_was_there_stays_until_then_and_keeps_its_permissions(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    file.write_text("old")
    file.chmod(0o640)
    write = prepared_file(file)
    assert file.read_text() == "old"
    write("new")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new", 0o640)


def test_a_link_leads_to_the_file_still(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    prepared_file(tmp_path / "link")("text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "text"


@pytest.mark.parametrize("name", ["missing/scores.json", "", "file/scores.json", "x" * 300])
def test_what_cannot_be_written_is_told_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"expected a file to write|cannot be written \("):
        prepared_file(tmp_path / name)
    assert os.listdir(tmp_path) == ["file"]


def test_a_database_is_never_replaced(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "archive.sqlite")) as archive:
        archive.execute("CREATE TABLE t (x)")
    (tmp_path / "link").symlink_to(tmp_path / "archive.sqlite")
    for name in ("archive.sqlite", "link"):
        with pytest.raises(OutputError, match="found an archive or another database; name another file"):
            prepared_file(tmp_path / name)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "scores.json"
    file.write_text("old")
    write = prepared_file(file)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device\); make room on the disk"):
        write("new")
    assert (os.listdir(tmp_path), file.read_text()) == (["scores.json"], "old")


def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    write, read = prepared_file(pipe), []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write("text")
    reader.join()
    assert read == ["text"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


WRITER = """
import os, sys
from evomerge import whole_file
with whole_file.partial_file(whole_file.Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print(partial.name, flush=True)
    sys.stdin.readline()
"""


def test_what_a_killed_writer_left_is_removed_by_the_next_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    command = [sys.executable, "-c", WRITER, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        partial = tmp_path / writer.stdout.readline().strip()
        prepared_file(file)("first")
        assert partial.read_text() == "half"
        writer.kill()
    assert partial.read_text() == "half"
    prepared_file(file)("second")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert file.read_text() == "second"
