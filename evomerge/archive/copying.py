"""A whole copy of an archive, also of one that a search is writing to."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from evomerge.archive.errors import ArchiveError, sqlite_error
from evomerge.archive.file import beside


def copy_archive(connection: sqlite3.Connection, path: Path, out: Path) -> None:
    """Write what a connection sees into one new file, which has its name once it is whole.

    Args:
        connection: of the archive.
        path: of the archive, for messages.
        out: the file; neither it nor what SQLite leaves beside one may exist.
    """
    if taken := [file for file in (out, *beside(out)) if file.exists()]:
        raise ArchiveError(f"{taken[0]}: expected nothing there, found a file; name another place for the copy")
    unfinished = out.with_name(f".{out.name}.new")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        unfinished.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(unfinished)) as copy:
            connection.backup(copy)
        unfinished.rename(out)
    except sqlite3.Error as error:
        raise sqlite_error(out, f"copy {path} to", error) from error
    except OSError as error:
        raise ArchiveError(f"{out}: cannot write the copy ({error.strerror})") from error
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
