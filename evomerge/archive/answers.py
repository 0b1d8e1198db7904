"""What candidates answered and what items ask, in an archive; packed as `fitness.tasks.kept_answers` does.

Nothing depends on it: it has no digests, and archives of older versions get the tables with their next answers. What is
damaged is left out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

from evomerge.archive.rows import Rows
from evomerge.archive.schema import ANSWER_TABLES
from fitness.scores import Split
from fitness.tasks.kept_answers import Asked, Kept, pack_asked, unpack_answers, unpack_asked

T = TypeVar("T")
_CHUNK = 256  # items whose prompts are packed together: what they have in common is stored once


class KeptAnswers:
    """Reads and writes them.

    Args:
        rows: of the archive.
        transaction: begins one.
    """

    def __init__(self, rows: Rows, transaction: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
        self._rows, self._transaction = rows, transaction

    def of(self, number: int, split: Split) -> dict[str, tuple[Kept, ...]]:
        """Return item -> answers of a candidate, or of another with the same recipe; empty where none are kept."""
        if not self._there():
            return {}
        packed = self._rows.query(
            "SELECT a.id, a.packed FROM answers a JOIN candidates c ON c.number = a.candidate WHERE a.split = ?"
            " AND c.recipe = (SELECT recipe FROM candidates WHERE number = ?) ORDER BY a.id",
            *(split, number),
        )
        return self._read("answers", packed, unpack_answers)

    def kept(self) -> set[int]:
        """Return the candidates that answers are kept of."""
        return (
            {row[0] for row in self._rows.query("SELECT DISTINCT candidate FROM answers")} if self._there() else set()
        )

    def asked(self, split: Split) -> dict[str, Asked]:
        """Return item -> what it asks, of a split that somebody answered."""
        if not self._there():
            return {}
        packed = self._rows.query("SELECT id, packed FROM prompts WHERE split = ? ORDER BY id", split)
        return self._read("prompts", packed, unpack_asked)

    def keep_asked(self, split: Split, find: Callable[[], Mapping[str, Asked]]) -> None:
        """Keep what the items of a split ask, once."""
        if self._there() and self._rows.query("SELECT 1 FROM prompts WHERE split = ? LIMIT 1", split):
            return
        items = list(find().items())
        chunks = [pack_asked(dict(items[i : i + _CHUNK])) for i in range(0, len(items), _CHUNK)]
        with self._transaction() as connection:
            _create(connection)
            insert = "INSERT INTO prompts (split, packed) VALUES (?, ?)"
            connection.executemany(insert, [(split, chunk) for chunk in chunks])

    def drop_others(self, keep: Collection[int]) -> None:
        """Delete answers to search items of candidates that were told, all but some and those with their recipes."""
        if not self._there():
            return
        known = set(keep)
        told = self._rows.query(
            "SELECT DISTINCT a.candidate, c.recipe FROM answers a JOIN candidates c ON c.number = a.candidate"
            " WHERE a.split = 'search' AND EXISTS (SELECT 1 FROM outcomes o JOIN events e ON o.event = e.seq"
            " WHERE o.candidate = a.candidate AND o.split = 'search' AND e.kind = 'told')"
        )
        recipes = {recipe for number, recipe in told if number in known}
        others = [(number,) for number, recipe in told if number not in known and recipe not in recipes]
        if others:
            with self._transaction() as connection:
                connection.executemany("DELETE FROM answers WHERE candidate = ? AND split = 'search'", others)

    def _there(self) -> bool:
        return bool(self._rows.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'answers'"))

    def _read(
        self, table: str, packed: Iterable[tuple[int, bytes]], unpack: Callable[[bytes], Mapping[str, T]]
    ) -> dict[str, T]:
        found: dict[str, T] = {}
        made = (partial(self._rows.decoded, table, key, "it", partial(unpack, blob)) for key, blob in packed)
        for part in self._rows.whole(made):
            found |= part
        return found


def keep_answers(connection: sqlite3.Connection, answered: Iterable[tuple[int, str, bytes]]) -> None:
    """Insert (candidate, split, packed answers); inside a transaction."""
    _create(connection)
    connection.executemany("INSERT INTO answers (candidate, split, packed) VALUES (?, ?, ?)", answered)


def _create(connection: sqlite3.Connection) -> None:
    for statement in ANSWER_TABLES:
        connection.execute(statement)
