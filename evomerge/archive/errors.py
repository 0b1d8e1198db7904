"""What can be wrong with an archive, in words that say what to do: SQLite's errors told apart, and damaged rows."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from evomerge.errors import EvomergeError

# SQLite's primary result code -> what it means, and what to do.
_MEANINGS = {
    sqlite3.SQLITE_FULL: ("the disk is full", "make room on it, then run the same command again"),
    sqlite3.SQLITE_READONLY: (
        "it may only be read",
        "make the file and its directory writable, or work on a copy of the run directory",
    ),
    sqlite3.SQLITE_PERM: ("permission denied", "look at the permissions of the file and its directory"),
    sqlite3.SQLITE_CANTOPEN: ("permission denied", "look at the permissions of the file and its directory"),
    sqlite3.SQLITE_IOERR: (
        "the disk or the network file system failed",
        "look at its free space and at the system's log, then run the same command again",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "the file is damaged",
        "put a backup in its place, or what the `.recover` of the program sqlite3 finds in it",
    ),
    sqlite3.SQLITE_NOTADB: ("it is no SQLite database", "put a backup in its place"),
    sqlite3.SQLITE_BUSY: ("another process is writing to it", "wait for it, or stop it"),
    sqlite3.SQLITE_LOCKED: ("another process is writing to it", "wait for it, or stop it"),
    sqlite3.SQLITE_CONSTRAINT: (
        "another process has written to it meanwhile",
        "one search at a time goes on in a run directory: stop the other one, then run the same command again",
    ),
}
# With these an archive may still be readable as it lies there: SQLite could only not write beside it.
_OF_ITS_PLACE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
}


# What calls of sqlite3 raise; the latter where a damaged file makes SQLite quote bytes that are no text.
SQLITE_ERRORS = (sqlite3.Error, UnicodeError)


class ArchiveError(EvomergeError, RuntimeError):
    """The archive cannot be read or written; what was committed before is intact."""


@dataclass(frozen=True)
class Damage:
    """A row that is not what was committed.

    Attributes:
        table: of the archive.
        row: its key, as people would look for it.
        kind: what is wrong with it, in words.
    """

    table: str
    row: object
    kind: str

    def __str__(self) -> str:
        return f"table {self.table}, row {self.row}: {self.kind}"


class DamagedRowError(ArchiveError):
    """A row is not what was committed."""

    def __init__(self, path: Path, damage: Damage, advice: str = "put a backup of the archive in its place") -> None:
        super().__init__(f"{path}: {damage}; {advice}")
        self.damage = damage


def sqlite_error(path: Path, doing: str, error: Exception) -> ArchiveError:
    """Return what to raise where SQLite could not do something ("read", "write") with an archive."""
    code = _primary_code(error)
    if code == sqlite3.SQLITE_IOERR and _is_full(path):
        code = sqlite3.SQLITE_FULL
    what = f"{path}: cannot {doing} the archive"
    if code not in _MEANINGS:
        return ArchiveError(f"{what} ({error})")
    meaning, advice = _MEANINGS[code]
    is_whole = code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    saved = "; everything told before is saved" if doing == "write" and is_whole else ""
    return ArchiveError(f"{what}: {meaning} ({error}){saved}; {advice}")


def is_of_its_place(error: Exception) -> bool:
    """Return whether an archive may be readable all the same, from a place that cannot be written to."""
    return _primary_code(error) in _OF_ITS_PLACE


def _primary_code(error: Exception) -> int:
    code = getattr(error, "sqlite_errorcode", None)  # errors of the module itself have none
    return 0 if code is None else int(code) & 0xFF


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.absolute().parent).free < 65536
    except OSError:
        return False
