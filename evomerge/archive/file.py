"""The archive's file: its tables, how it is opened, and what it refuses."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from evomerge.errors import EvomergeError

SCHEMA_VERSION = 2  # 1 knew no candidates that were stopped
TABLES = (
    "CREATE TABLE campaign (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE item_sets (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, item_ids BLOB NOT NULL)",
    "CREATE TABLE events (seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, requested INTEGER)",
    "CREATE TABLE candidates (number INTEGER PRIMARY KEY, event INTEGER NOT NULL REFERENCES events, label TEXT,"
    " proposal INTEGER, genome BLOB, recipe BLOB NOT NULL)",
    "CREATE INDEX candidates_by_event ON candidates (event)",
    "CREATE TABLE outcomes (event INTEGER NOT NULL REFERENCES events, position INTEGER NOT NULL,"
    " candidate INTEGER NOT NULL REFERENCES candidates, split TEXT NOT NULL, seconds REAL NOT NULL,"
    " item_set INTEGER REFERENCES item_sets, scores BLOB, objectives TEXT,"
    " stage TEXT, reason TEXT, attempts INTEGER, traceback TEXT, PRIMARY KEY (event, position)) WITHOUT ROWID",
    "CREATE INDEX outcomes_by_candidate ON outcomes (candidate, split)",
)


class ArchiveError(EvomergeError, RuntimeError):
    """The archive cannot be read or written; what was committed before is intact."""


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open an SQLite file."""
    try:
        uri = f"{path.resolve().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)
        if mode != "ro":
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error as error:
        raise ArchiveError(f"{path}: cannot open the archive ({error})") from error
    return connection


def connect_existing(path: Path, mode: str) -> sqlite3.Connection:
    """Open an archive that is there, rw or ro; ArchiveError where it is none, or one of a newer evomerge."""
    if not path.is_file():
        raise ArchiveError(f"{path}: expected an archive, found none; is this the directory of a run?")
    connection = connect(path, mode)
    try:
        row = connection.execute("SELECT value FROM campaign WHERE key = 'schema_version'").fetchone()
        version = int(row[0])
    except (sqlite3.Error, TypeError, ValueError) as error:
        connection.close()
        raise ArchiveError(f"{path}: expected an evomerge archive, found something else ({error})") from error
    if version > SCHEMA_VERSION:
        connection.close()
        raise ArchiveError(
            f"{path}: expected schema version {SCHEMA_VERSION} or older, found {version}; "
            "a newer evomerge wrote it: install that one (`pip install --upgrade evomerge`)"
        )
    return connection
