"""Archives on network file systems: found by the system's list of mounts, and written without a write-ahead log."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from evomerge.archive import Archive
from evomerge.archive.file_system import journal_for, kind_in
from evomerge.archive.watching import watched
from tests.evomerge.killing import contents
from tests.evomerge.toy_run import run_toy

# As `findmnt` shows them on a login node; the fields are those of proc(5).
MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw,relatime shared:9 - nfs4 server:/home rw,vers=4.2
31 30 0:41 / /home/me/local rw shared:10 master:1 - xfs /dev/nvme0n1 rw
32 22 0:42 / /lustre rw - lustre 10.0.0.1@o2ib:/scratch rw,flock
33 22 0:43 / /mnt/a\040b rw - fuse.sshfs me@host: rw
34 22 0:44 / /top rw - nfs server:/x rw
35 22 0:45 / /top rw - tmpfs tmpfs rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind", "journal"),
    [
        ("/var/run1", "ext4", "WAL"),
        ("/home/me/runs/a", "nfs4", "DELETE"),
        ("/home/me/local/a", "xfs", "WAL"),
        ("/homes/me", "ext4", "WAL"),  # not below /home
        ("/lustre/me", "lustre", "DELETE"),
        ("/mnt/a b/run", "fuse.sshfs", "DELETE"),
        ("/top/run", "tmpfs", "WAL"),  # mounted over the other
    ],
)
def test_what_a_path_is_on_decides_how_an_archive_is_journalled(path: str, kind: str, journal: str) -> None:
    assert kind_in(MOUNTS, PurePosixPath(path)) == kind
    assert journal_for(kind) == journal


def test_a_system_that_lists_nothing_is_taken_for_local() -> None:
    assert journal_for(kind_in("", PurePosixPath("/a"))) == "WAL"


def test_without_a_log_a_campaign_is_the_same_and_is_read_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, far = tmp_path / "whole.sqlite", tmp_path / "far.sqlite"
    run_toy(whole, "nsga2", 40)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"1 0 0:1 / {tmp_path} rw - nfs4 server:/x rw\n")
    monkeypatch.setattr("evomerge.archive.file_system._MOUNTS", mounts)
    run_toy(far, "nsga2", 17)
    assert [file.name for file in tmp_path.glob("far.sqlite*")] == ["far.sqlite"]
    with_reader = Archive.read(far)
    archive = Archive.open(far)
    with watched(archive):
        archive.note("fact", "committed while somebody reads")
        assert with_reader.noted("fact") == "committed while somebody reads"
    archive.close()
    with_reader.close()
    run_toy(far, "nsga2", 40)
    assert contents(far) == contents(whole)


def test_an_archive_with_a_log_gives_it_up_where_it_was_moved_to_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sqlite"
    Archive.create(path, "name: a\n").close()
    mounts = tmp_path / "mounts"
    mounts.write_text(f"1 0 0:1 / {tmp_path} rw - lustre server rw\n")
    monkeypatch.setattr("evomerge.archive.file_system._MOUNTS", mounts)
    archive = Archive.open(path)
    archive.note("fact", "here")
    assert not path.with_name("a.sqlite-wal").exists()
    archive.close()
