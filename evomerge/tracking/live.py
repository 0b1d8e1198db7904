"""Trackers that follow a search while it runs."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from evomerge.archive import Archive
from evomerge.campaign.events import CandidateFailed, CandidateTold
from evomerge.errors import in_brief
from evomerge.tracking.following import Following

_LEAST_PAUSE_S = 2.0
_SHARE = 0.02  # of the time, at most, is spent on trackers
_LAST_S = 60.0  # what is left may take at the end, as over a slow network


@contextlib.contextmanager
def tracking(
    directory: Path, archive: Path, names: Sequence[str], say: Callable[[str], object]
) -> Iterator[Callable[[object], None] | None]:
    """Yield a callback that lets trackers follow a search, from a thread of their own that reads the archive.

    The search waits for none of them but at its end, for at most a minute. What fails is said once, in its thread.
    """
    if not names:
        yield None
        return
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    following, told, over = Following(directory.absolute(), names, said.put), threading.Event(), threading.Event()

    def repeat() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                say(said.get_nowait())

    def callback(event: object) -> None:
        if isinstance(event, CandidateTold | CandidateFailed):
            told.set()
        repeat()

    def follow() -> None:
        try:
            _follow(following, archive, told, over)
        except Exception as error:  # the archive is gone, or the disk is full: the search itself says so
            said.put(f"track: nothing more is logged ({in_brief(error)})")

    follower = threading.Thread(target=follow, name="trackers", daemon=True)
    follower.start()
    try:
        yield callback
    finally:
        over.set()
        told.set()
        follower.join(_LAST_S)
        repeat()
        if follower.is_alive():
            say("track: the trackers are not done and are left behind; `evomerge track RUN` sends the rest")


def _follow(following: Following, path: Path, told: threading.Event, over: threading.Event) -> None:
    while not over.is_set():
        told.wait()
        told.clear()
        if over.is_set():
            break
        began = time.monotonic()
        with contextlib.closing(Archive.read(path)) as archive:
            following.catch_up(archive)
        over.wait(max(_LEAST_PAUSE_S, (time.monotonic() - began) / _SHARE))
    with contextlib.closing(Archive.read(path)) as archive:
        following.end(archive)
