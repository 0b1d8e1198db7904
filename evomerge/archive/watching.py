"""Looks after an archive while candidates are scored: what was committed comes into its file, and the file is there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from evomerge.archive.errors import SQLITE_ERRORS, ArchiveError
from evomerge.archive.event_store import Archive
from evomerge.archive.file import connect

EVERY_S = 1.0


@contextlib.contextmanager
def watched(archive: Archive, lost: Callable[[], object] | None = None) -> Iterator[None]:
    """Watch in a thread of its own.

    A candidate may take hours. Without commits nobody else would write the last ones from SQLite's log into the
    archive's file, and nobody would notice that the file is gone.

    Args:
        archive: open for writing.
        lost: called every second from when on the archive is not at its place any more, twice at most.
    """
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(archive, lost, over), name="archive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(archive: Archive, lost: Callable[[], object] | None, over: threading.Event) -> None:
    n_calls = 0
    while n_calls < 2 and not over.wait(EVERY_S):
        try:
            archive.check_presence(inside=True)
        except ArchiveError:
            n_calls += 1
            if lost is not None:
                lost()
            continue
        if archive.unsettled:  # connections belong to threads
            with contextlib.suppress(*SQLITE_ERRORS), contextlib.closing(connect(archive.path, "mode=rw")) as own:
                archive.checkpoint(own)
