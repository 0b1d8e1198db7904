"""The archive's tables, and how an older archive comes by those of today."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Mapping

# 1 knew no candidates that were stopped; 2 no digests.
SCHEMA_VERSION = 3
FIRST_WITH_DIGESTS = 3
RUN_ID = "run_id"
FOUR_BYTES = "scores_in_four_bytes"  # searches that began before go on with eight
SEALED_FROM = "sealed_from"  # the first event with digests: those of older versions have none
TABLES = (
    "CREATE TABLE campaign (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE item_sets (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, item_ids BLOB NOT NULL)",
    "CREATE TABLE events (seq INTEGER PRIMARY KEY, at REAL NOT NULL, kind TEXT NOT NULL, requested INTEGER,"
    " digest BLOB)",
    "CREATE TABLE candidates (number INTEGER PRIMARY KEY, event INTEGER NOT NULL REFERENCES events, label TEXT,"
    " proposal INTEGER, genome BLOB, recipe BLOB NOT NULL, recipe_digest BLOB, digest BLOB)",
    "CREATE INDEX candidates_by_event ON candidates (event)",
    "CREATE TABLE outcomes (event INTEGER NOT NULL REFERENCES events, position INTEGER NOT NULL,"
    " candidate INTEGER NOT NULL REFERENCES candidates, split TEXT NOT NULL, seconds REAL NOT NULL,"
    " item_set INTEGER REFERENCES item_sets, scores BLOB, objectives TEXT,"
    " stage TEXT, reason TEXT, attempts INTEGER, traceback TEXT, digest BLOB,"
    " PRIMARY KEY (event, position)) WITHOUT ROWID",
    "CREATE INDEX outcomes_by_candidate ON outcomes (candidate, split)",
)
# Where and how long outcomes were worked on, as JSON. Nothing depends on it: it has no digests, and archives of older
# versions, which have no such table, get it with their next outcome.
WORK_TABLE = (
    "CREATE TABLE IF NOT EXISTS work (event INTEGER NOT NULL, position INTEGER NOT NULL, candidate INTEGER NOT NULL,"
    " facts TEXT NOT NULL, PRIMARY KEY (event, position)) WITHOUT ROWID"
)
# What candidates answered and what items ask, packed (`fitness.tasks.kept_answers`); as above, nothing depends on it.
ANSWER_TABLES = (
    "CREATE TABLE IF NOT EXISTS answers (id INTEGER PRIMARY KEY, candidate INTEGER NOT NULL, split TEXT NOT NULL,"
    " packed BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS answers_by_candidate ON answers (candidate, split)",
    "CREATE TABLE IF NOT EXISTS prompts (id INTEGER PRIMARY KEY, split TEXT NOT NULL, packed BLOB NOT NULL)",
)
_UPGRADES = (
    "ALTER TABLE events ADD COLUMN digest BLOB",
    "ALTER TABLE candidates ADD COLUMN recipe_digest BLOB",
    "ALTER TABLE candidates ADD COLUMN digest BLOB",
    "ALTER TABLE outcomes ADD COLUMN digest BLOB",
)


def create_tables(connection: sqlite3.Connection, campaign: str, evomerge: str) -> None:
    """Make the tables of a new archive, with a run id of its own; inside a transaction."""
    for statement in TABLES:
        connection.execute(statement)
    rows = {"schema_version": str(SCHEMA_VERSION), "campaign": campaign, "evomerge": evomerge}
    _note(connection, {**rows, RUN_ID: uuid.uuid4().hex, SEALED_FROM: "1", FOUR_BYTES: "yes"})


def upgrade(connection: sqlite3.Connection) -> None:
    """Give an older archive the columns of today, from its next event on; inside a transaction."""
    for statement in _UPGRADES:
        connection.execute(statement)
    ((last,),) = connection.execute("SELECT coalesce(max(seq), 0) FROM events")
    facts = {"schema_version": str(SCHEMA_VERSION), RUN_ID: uuid.uuid4().hex, SEALED_FROM: str(last + 1)}
    _note(connection, facts)


def sealed_from(facts: Mapping[str, str]) -> int:
    """Return the first event with digests, of what an archive of today notes."""
    first = str(facts.get(SEALED_FROM, ""))
    return int(first) if first.isdecimal() and len(first) < 19 else 1


def _note(connection: sqlite3.Connection, facts: dict[str, str]) -> None:
    connection.executemany("INSERT OR REPLACE INTO campaign VALUES (?, ?)", facts.items())
