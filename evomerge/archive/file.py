"""The archive's file: how it is opened, also from a place that cannot be written to, and what it refuses."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from evomerge.archive.errors import SQLITE_ERRORS, ArchiveError, is_of_its_place, sqlite_error
from evomerge.archive.file_system import journal_at
from evomerge.archive.foreign_log import refuse_foreign_log
from evomerge.archive.schema import SCHEMA_VERSION

_BESIDE = ("-wal", "-shm", "-journal")  # what SQLite keeps beside its file
_COPY_TRIES = 5


@dataclass(frozen=True)
class Opened:
    """An archive's connection, its schema version, and what there is to do once it is closed."""

    connection: sqlite3.Connection
    version: int
    close: Callable[[], object]


def connect(path: Path, options: str) -> sqlite3.Connection:
    """Open an SQLite file with options of its URI, such as mode=ro."""
    writes = options in ("mode=rw", "mode=rwc")
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?{options}", uri=True, isolation_level=None, timeout=30)
    try:
        if writes:
            connection.execute(f"PRAGMA journal_mode = {journal_at(path)}")
            connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except SQLITE_ERRORS:
        connection.close()
        raise
    return connection


def beside(path: Path) -> list[Path]:
    """Return the files that SQLite left beside an archive's place."""
    return [other for suffix in _BESIDE if (other := path.with_name(path.name + suffix)).exists()]


def remove_what_is_left(path: Path) -> None:
    """Remove what an archive that is gone left beside its place: SQLite would replay it into a new one.

    Raises:
        ArchiveError: one cannot be removed.
    """
    for left in beside(path):
        try:
            left.unlink()
        except OSError as error:
            raise ArchiveError(
                f"{left}: an archive that is gone left it, and its scores would enter the new one; "
                f"it cannot be removed ({error.strerror}): remove it, then run the same command again"
            ) from error


def open_to_write(path: Path) -> Opened:
    """Open an archive that is there; ArchiveError where there is none, or one of a newer evomerge."""
    _expect_file(path)
    refuse_foreign_log(path)
    try:
        connection = connect(path, "mode=rw")
    except SQLITE_ERRORS as error:
        raise sqlite_error(path, "open", error) from error
    try:
        return Opened(connection, _version(connection, path), connection.close)
    except SQLITE_ERRORS as error:
        connection.close()
        raise _unusable(path, error) from error
    except ArchiveError:
        connection.close()
        raise


def open_to_read(path: Path) -> Opened:
    """Open an archive for reading, also where nothing can be written beside it; raises like `open_to_write`."""
    _expect_file(path)
    is_alone = not beside(path)
    try:
        opened = _opened(path, path, "mode=ro")
        return replace(opened, close=partial(_close_alone, path, opened.connection)) if is_alone else opened
    except SQLITE_ERRORS as error:
        if not is_of_its_place(error):
            raise _unusable(path, error) from error
        try:
            return _opened_in_its_place(path)
        except SQLITE_ERRORS as again:
            raise _unusable(path, again) from again
        except OSError as again:
            raise ArchiveError(
                f"{path}: cannot read the archive ({error}), nor a copy of it ({again.strerror})"
            ) from again


def _close_alone(path: Path, reader: sqlite3.Connection) -> None:
    """Close a reader, and let SQLite remove what it made beside the file for it: only who may write does that."""
    reader.close()
    with contextlib.suppress(*SQLITE_ERRORS), contextlib.closing(connect(path, "mode=rw")) as last:
        last.execute("SELECT 1 FROM campaign").fetchone()


def _opened_in_its_place(path: Path) -> Opened:
    log = path.with_name(path.name + "-wal")
    if not log.exists() or not log.stat().st_size:
        return _opened(path, path, "immutable=1")  # everything is in the one file
    directory = tempfile.TemporaryDirectory(prefix="evomerge-")
    try:
        copy = Path(directory.name) / path.name
        _copy_both(path, log, copy)
        opened = _opened(path, copy, "mode=rw")  # its own log is replayed into the copy
    except BaseException:
        directory.cleanup()
        raise

    def close() -> None:
        opened.close()
        directory.cleanup()

    return Opened(opened.connection, opened.version, close)


def _copy_both(path: Path, log: Path, copy: Path) -> None:
    """Copy an archive and its log as they were at one moment, as far as their times tell."""
    for _ in range(_COPY_TRIES):
        before = [_state(path), _state(log)]
        shutil.copyfile(path, copy)
        shutil.copyfile(log, copy.with_name(copy.name + "-wal"))
        if before == [_state(path), _state(log)]:
            return


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _opened(path: Path, file: Path, options: str) -> Opened:
    connection = connect(file, options)
    try:
        return Opened(connection, _version(connection, path), connection.close)
    except (*SQLITE_ERRORS, ArchiveError):
        connection.close()
        raise


def _expect_file(path: Path) -> None:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise ArchiveError(f"{path}: expected an archive, found none; is this the directory of a run?") from None
    except OSError as error:
        raise ArchiveError(f"{path}: cannot open the archive ({error.strerror})") from error
    if mode & 0o170000 != 0o100000:
        raise ArchiveError(f"{path}: expected an archive, found no file; is this the directory of a run?")


def _version(connection: sqlite3.Connection, path: Path) -> int:
    row = connection.execute("SELECT value FROM campaign WHERE key = 'schema_version'").fetchone()
    try:
        version = int(row[0])
    except (TypeError, ValueError) as error:
        raise ArchiveError(f"{path}: expected an evomerge archive, found one without a schema version") from error
    if version > SCHEMA_VERSION:
        raise ArchiveError(
            f"{path}: expected schema version {SCHEMA_VERSION} or older, found {version}; "
            "a newer evomerge wrote it: install that one (`pip install --upgrade evomerge`)"
        )
    return version


def _unusable(path: Path, error: Exception) -> ArchiveError:
    if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_ERROR, None):  # no such table: another program's
        return ArchiveError(f"{path}: expected an evomerge archive, found something else ({error})")
    return sqlite_error(path, "open", error)
