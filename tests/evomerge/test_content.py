"""Files that are read as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evomerge.content import content_of


def test_a_file_is_read_as_a_whole_and_a_pipe_a_device_and_what_has_no_end_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff\x00text")
    assert content_of(tmp_path / "file") == b"\xff\x00text"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(2**40)
    for name, reason in {
        "pipe": "a pipe or a device",
        "device": "a pipe or a device",
        "huge": "1,099,511,627,776 bytes, which is more than 1,073,741,824",
        "none": "No such file or directory",
        ".": "Is a directory",
    }.items():
        with pytest.raises(OSError, match=reason):
            content_of(tmp_path / name)
