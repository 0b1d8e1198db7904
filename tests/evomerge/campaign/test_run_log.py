"""The log of a run: its own lines, and no trace in the loggers afterwards."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from evomerge.campaign import RunDirectory

LOG = logging.getLogger("evomerge.test")


def test_levels_are_as_they_were_and_two_searches_do_not_mix(tmp_path: Path) -> None:
    room = logging.getLogger("evomerge")
    before = room.level, list(room.handlers)
    second_is_open, first_is_closed = threading.Event(), threading.Event()

    def other() -> None:
        with RunDirectory(tmp_path / "second").locked():
            second_is_open.set()
            first_is_closed.wait(60)
            LOG.info("of the second")

    thread = threading.Thread(target=other)
    with RunDirectory(tmp_path / "first").locked():
        thread.start()
        second_is_open.wait(60)
        LOG.info("of the first")
    first_is_closed.set()
    thread.join()
    assert [(tmp_path / name / "log.txt").read_text().split("test: ")[1:] for name in ("first", "second")] == [
        ["of the first\n"],
        ["of the second\n"],
    ]
    assert (room.level, room.handlers) == before
