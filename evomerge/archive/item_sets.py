"""The sets of items that candidates were scored on, each stored once."""

from __future__ import annotations

import sqlite3

from evomerge.archive import codec
from fitness.scores import item_set_digest


class ItemSets:
    """Numbers the sets of items of an archive, and remembers them.

    Args:
        connection: of the archive.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._number_of: dict[str, int] = {}
        self._item_ids: dict[int, tuple[str, ...]] = {}

    def number(self, item_ids: tuple[str, ...]) -> int:
        """Return the number of a set, which is stored if it is new; inside a transaction."""
        digest = item_set_digest(item_ids)
        if digest not in self._number_of:
            insert = "INSERT OR IGNORE INTO item_sets (digest, item_ids) VALUES (?, ?)"
            self._connection.execute(insert, (digest, codec.pack_item_ids(item_ids)))
            found = self._connection.execute("SELECT id FROM item_sets WHERE digest = ?", (digest,)).fetchone()
            self._number_of[digest] = int(found[0])
        return self._number_of[digest]

    def item_ids(self, number: int) -> tuple[str, ...]:
        """Return the ids of a set that is stored."""
        if number not in self._item_ids:
            query = "SELECT item_ids FROM item_sets WHERE id = ?"
            (packed,) = self._connection.execute(query, (number,)).fetchone()
            self._item_ids[number] = codec.unpack_item_ids(packed)
        return self._item_ids[number]

    def forget_new(self) -> None:
        """Forget numbers of sets that may not have been stored: a transaction has failed."""
        self._number_of.clear()
