"""The rows of an archive: the one place where what SQLite and decoding raise becomes an ArchiveError."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from evomerge.archive.errors import SQLITE_ERRORS, ArchiveError, Damage, DamagedRowError, sqlite_error
from evomerge.errors import in_brief

T = TypeVar("T")
Row = tuple[Any, ...]


class Rows:
    """Reads rows, and remembers those that are damaged.

    Args:
        connection: of the archive.
        path: of the archive, for messages.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        # What is no UTF-8 is damaged, and is found by its digest: it must not end the reading of other rows.
        connection.text_factory = lambda text: text.decode("utf-8", "replace")
        self._connection, self._path = connection, path
        self.damage: dict[tuple[str, object], Damage] = {}

    def query(self, sql: str, *values: object) -> list[Row]:
        """Return the rows of a query."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except OverflowError:
            return []  # a number that no row can have
        except SQLITE_ERRORS as error:
            raise sqlite_error(self._path, "read", error) from error

    def decoded(self, table: str, key: object, what: str, decode: Callable[[], T]) -> T:
        """Return what a decoder makes of a row; whatever it raises becomes a DamagedRowError."""
        try:
            return decode()
        except ArchiveError:
            raise
        except Exception as error:
            found = f"{what} cannot be read ({type(error).__name__}: {in_brief(error, 120)})"
            raise DamagedRowError(self._path, Damage(table, key, found)) from error

    def whole(self, made: Iterable[Callable[[], T]]) -> list[T]:
        """Return what can be made; what is damaged is remembered and left out."""
        found = []
        for make in made:
            try:
                found.append(make())
            except DamagedRowError as error:
                self.note(error.damage)
        return found

    def note(self, damage: Damage) -> None:
        """Remember a damaged row, once."""
        self.damage.setdefault((damage.table, damage.row), damage)

    def is_damaged(self, table: str, key: object) -> bool:
        """Return whether a row is known to be damaged."""
        return (table, key) in self.damage

    def refuse_damage(self) -> None:
        """Raise where a damaged row is known, naming the first and how many there are."""
        for damage in self.damage.values():
            more = f" ({len(self.damage) - 1} more rows are damaged)" if len(self.damage) > 1 else ""
            advice = f"a search cannot go on from it, its results can still be read{more}"
            raise DamagedRowError(self._path, damage, f"{advice}: put a backup of the archive in its place")
