"""Whether the files that a search writes to are still those at its path: a deleted file takes everything, silently."""

from __future__ import annotations

import os
from pathlib import Path

from evomerge.archive.errors import ArchiveError
from evomerge.archive.foreign_log import run_id_in_file

_MOST_STRANGE = 2  # looks in a row that found another content: one may have been taken in the middle of a checkpoint


class Presence:
    """Remembers which file is at a path.

    Args:
        path: of the archive, which is open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._file = _identity(path)
        self._log_file = _identity(self._log)
        self._run_id = run_id_in_file(path)
        self._strange = 0

    def check(self) -> None:
        """Raise where the archive, or the log that SQLite writes first, was deleted, moved or replaced."""
        found = _identity(self._path)
        if found != self._file or self._strange >= _MOST_STRANGE:
            what = "was deleted, or its directory was moved," if found is None else "was replaced by another file"
            raise ArchiveError(
                f"{self._path}: the archive {what} while the search ran, so it ends here. What was scored lies in the "
                "file that was opened: where it was moved to, if it was moved; gone, if it was deleted. "
                "To go on: move it back, or start anew"
            )
        log = _identity(self._log)
        if self._log_file is None:
            self._log_file = log  # SQLite makes it with the first commit
        elif log != self._log_file:
            raise ArchiveError(
                f"{self._log}: it was deleted or replaced while the search ran, which ends here. The archive has what "
                "was committed until then; to go on, run the same command again"
            )

    def look_inside(self) -> None:
        """See whether another archive was written over the file; `check` raises then. Too slow for every commit."""
        if self._run_id is not None:
            self._strange = 0 if run_id_in_file(self._path) == self._run_id else self._strange + 1


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
