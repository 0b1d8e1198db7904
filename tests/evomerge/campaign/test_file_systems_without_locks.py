"""Run directories, caches and exports on file systems that know no locks, as Lustre without flock and some NFS."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evomerge.campaign import RunDirectory, RunDirectoryError
from evomerge.whole_file import partial_file
from search_spaces.cache_directory import keep_text
from search_spaces.output.complete_directory import complete_or_nothing


@pytest.fixture(params=[errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def _no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("_no_locks")
def test_a_run_directory_without_locks_has_one_user_at_a_time_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunDirectory(tmp_path)
    for _ in range(2):
        with run.locked():
            assert "has no locks" in (tmp_path / "log.txt").read_text()
            with (
                pytest.raises(RunDirectoryError, match=rf"says that process {os.getpid()} on .* uses it"),
                run.locked(),
            ):
                raise AssertionError
            assert (tmp_path / "lock.owner").exists()
    assert not (tmp_path / "lock.owner").exists()
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


@pytest.mark.usefixtures("_no_locks")
def test_what_a_killed_process_left_there_is_no_lock_and_one_of_another_machine_is(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import os, socket; print(os.getpid(), socket.gethostname())"],
        check=True,
        capture_output=True,
        text=True,
    )
    (tmp_path / "lock.owner").write_text(ended.stdout.strip())
    with RunDirectory(tmp_path).locked():
        pass
    (tmp_path / "lock.owner").write_text("1234567 elsewhere")
    with (
        pytest.raises(RunDirectoryError, match=r"process 1234567 on elsewhere uses it; .* remove lock\.owner"),
        RunDirectory(tmp_path).locked(),
    ):
        raise AssertionError


@pytest.mark.usefixtures("_no_locks")
def test_files_that_are_written_whole_need_no_locks(tmp_path: Path) -> None:
    keep_text(tmp_path / "cache" / "kept", "text")
    assert (tmp_path / "cache" / "kept").read_text() == "text"
    with partial_file(tmp_path / "file") as partial:
        partial.write_text("text")
    with complete_or_nothing(tmp_path / "export") as export:
        (export / "config.json").write_text("{}")
    assert (tmp_path / "export" / "config.json").exists()
