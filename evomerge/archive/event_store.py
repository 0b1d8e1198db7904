"""The archive: everything that was ever scored, in one SQLite file.

It is an event store. `asked` (candidates, before they are submitted) and `told` (outcomes, before an optimiser learns
from them) are committed in the order in which they happen, so that a campaign resumes by replaying them into a fresh
optimiser. Only the driver writes; anyone may read while the search runs (`Archive.read`). A told event touches a
constant number of rows, so it costs the same at the millionth candidate as at the first.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from evomerge.archive import codec
from evomerge.archive.codec import Asked, Record, Told
from evomerge.archive.file import SCHEMA_VERSION, TABLES, ArchiveError, connect, connect_existing
from evomerge.candidate import Candidate, Done, Failure
from evomerge.version import __version__
from fitness.scores import Estimate, ItemScores, Split

_CANDIDATES = "SELECT number, recipe, label, proposal, genome FROM candidates"
_RECORD = "SELECT candidate, split, at, seconds, objectives, stage, reason, attempts, traceback"
_RECORDS = f"{_RECORD} FROM outcomes JOIN events ON event = seq"
_RECORDS_WITH_SCORES = f"{_RECORD}, item_set, scores FROM outcomes JOIN events ON event = seq"


class Archive:
    """One campaign's event store."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Wrap an open connection; use `create`, `open` or `read`."""
        self._connection = connection
        self._path = path
        self._item_sets = codec.ItemSets(connection)

    @staticmethod
    def create(path: Path, campaign: str) -> Archive:
        """Make a new archive that records the campaign file's text."""
        if path.exists():
            raise ArchiveError(f"{path}: expected no archive, found one; open it instead")
        # Under another name until it is whole: a kill in between leaves no archive that cannot be opened.
        unfinished = path.with_name(f".{path.name}.new")
        unfinished.unlink(missing_ok=True)
        archive = Archive(connect(unfinished, "rwc"), unfinished)
        with archive.transaction() as connection:
            for statement in TABLES:
                connection.execute(statement)
            rows = {"schema_version": str(SCHEMA_VERSION), "campaign": campaign, "evomerge": __version__}
            connection.executemany("INSERT INTO campaign VALUES (?, ?)", rows.items())
        archive.close()
        unfinished.rename(path)
        return Archive.open(path)

    @staticmethod
    def open(path: Path) -> Archive:
        """Open an existing archive for reading and writing; ArchiveError where there is none, or a newer one."""
        return Archive(connect_existing(path, "rw"), path)

    @staticmethod
    def read(path: Path) -> Archive:
        """Open an archive read-only, also while a search writes to it; raises like `open`."""
        return Archive(connect_existing(path, "ro"), path)

    @property
    def campaign(self) -> str:
        """The campaign file's text as the archive was last told it."""
        return self.noted("campaign") or ""

    def note(self, key: str, value: str) -> None:
        """Record a fact about the campaign (its file, the verification), replacing an earlier one."""
        with self.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO campaign VALUES (?, ?)", (key, value))

    def noted(self, key: str) -> str | None:
        """Return what `note` recorded last, or None."""
        for (value,) in self._rows("SELECT value FROM campaign WHERE key = ?", key):
            return str(value)
        return None

    def asked(self, candidates: Sequence[Candidate], requested: int | None) -> None:
        """Commit new candidates before they are submitted."""
        with self.transaction() as connection:
            event = _event(connection, "asked", requested)
            connection.executemany(
                "INSERT INTO candidates (number, event, recipe, label, proposal, genome) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (c.number, event, codec.pack_recipe(c.recipe), c.label, c.proposal, codec.pack_genome(c.genome))
                    for c in candidates
                ],
            )

    def told(
        self,
        outcomes: Sequence[tuple[Done, Estimate | None]],
        *,
        split: Split | Literal["screen"] = "search",
        kind: Literal["told", "held", "screened", "rescored", "verified"] = "told",
    ) -> None:
        """Commit outcomes before an optimiser learns from them; a Failure comes with no estimate.

        `history` leaves out what is `verified`, `held` (of a candidate that is not told yet), `screened` (the same, on
        the screen) or `rescored` (by older versions: a larger estimate).
        """
        with self.transaction() as connection:
            event = _event(connection, kind, None)
            connection.executemany(
                f"INSERT INTO outcomes VALUES ({', '.join('?' * 12)})",
                [
                    (event, i, done.candidate.number, split, done.seconds, *self._outcome(done, estimate))
                    for i, (done, estimate) in enumerate(outcomes)
                ],
            )

    def history(self) -> Iterator[Asked | Told]:
        """Yield what a replay needs, in the order in which it was committed."""
        events = "SELECT seq, kind, requested FROM events WHERE kind IN ('asked', 'told') ORDER BY seq"
        for seq, kind, requested in self._rows(events):
            if kind == "asked":
                rows = self._rows(f"{_CANDIDATES} WHERE event = ? ORDER BY number", seq)
                yield Asked(tuple(map(codec.unpack_candidate, rows)), requested)
            else:
                rows = self._rows(f"{_RECORDS_WITH_SCORES} WHERE event = ? ORDER BY position", seq)
                yield Told(tuple(self._told_record(row) for row in rows))

    def has(self, kind: str) -> bool:
        """Return whether events of a kind were committed; an older version knew `retold`: measured on other items."""
        return any(self._rows("SELECT 1 FROM events WHERE kind = ? LIMIT 1", kind))

    def candidate(self, number: int) -> Candidate:
        """Return one candidate."""
        for row in self._rows(f"{_CANDIDATES} WHERE number = ?", number):
            return codec.unpack_candidate(row)
        raise ArchiveError(f"candidate: expected a number below {self.n_candidates}, found {number}")

    def candidates(self) -> list[Candidate]:
        """Return every candidate that was asked, in order."""
        return [codec.unpack_candidate(row) for row in self._rows(f"{_CANDIDATES} ORDER BY number")]

    def landmarks(self) -> list[Candidate]:
        """Return the candidates that no optimiser proposed, in order."""
        return [
            codec.unpack_candidate(row) for row in self._rows(f"{_CANDIDATES} WHERE proposal IS NULL ORDER BY number")
        ]

    def records(self, split: Split = "search") -> list[Record]:
        """Return every outcome on a split, in the order of their commits; see `rescored` for larger estimates."""
        query = f"{_RECORDS} WHERE split = ? AND kind IN ('told', 'verified') ORDER BY event, position"
        return [codec.unpack_record(row) for row in self._rows(query, split)]

    def held(self) -> dict[int, Record]:
        """Return candidate -> the newest scores with which it waited to be told, also of those that were told since."""
        return self._newest("held")

    def screened(self) -> dict[int, Record]:
        """Return candidate -> its scores on the screen, of those that have some."""
        return self._newest("screened")

    def rescored(self) -> dict[int, Estimate]:
        """Return candidate -> newest estimate on more search items than it was told with, of those that have one."""
        rows = self._rows(f"{_RECORDS} WHERE kind = 'rescored' ORDER BY event, position")
        records = map(codec.unpack_record, rows)
        return {record.number: record.estimate for record in records if record.estimate is not None}

    def scores(self, number: int, split: Split) -> ItemScores | None:
        """Return a candidate's newest item scores on a split, the largest set; None when it was not scored there."""
        query = (
            "SELECT item_set, scores FROM outcomes JOIN events ON event = seq WHERE candidate = ? AND split = ?"
            " AND scores IS NOT NULL AND kind NOT IN ('held', 'retold') ORDER BY event DESC LIMIT 1"
        )
        for item_set, scores in self._rows(query, number, split):
            return self._unpacked(item_set, scores)
        return None

    def answered(self, split: Split) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield (candidate, ids of the items that it was scored on) of every outcome on a split, in their order."""
        query = "SELECT candidate, item_set FROM outcomes WHERE split = ? AND item_set IS NOT NULL"
        for number, item_set in self._rows(f"{query} ORDER BY event, position", split):
            yield number, self._item_sets.item_ids(item_set)

    def worked(self) -> list[tuple[float, float]]:
        """Return when scores of the search, or of its screen, were committed, and how many seconds they had taken."""
        query = (
            "SELECT at, sum(seconds) FROM outcomes JOIN events ON event = seq WHERE split IN ('search', 'screen')"
            " GROUP BY seq ORDER BY seq"
        )
        return [(float(at), float(seconds)) for at, seconds in self._rows(query)]

    @property
    def n_candidates(self) -> int:
        """How many candidates were asked."""
        ((count,),) = self._rows("SELECT coalesce(max(number) + 1, 0) FROM candidates")
        return int(count)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._connection.close()

    def _newest(self, kind: str) -> dict[int, Record]:
        rows = self._rows(f"{_RECORDS_WITH_SCORES} WHERE kind = ? ORDER BY event, position", kind)
        return {record.number: record for record in map(self._told_record, rows)}

    def _told_record(self, row: tuple[Any, ...]) -> Record:
        *row_of_record, item_set, scores = row
        record = codec.unpack_record(tuple(row_of_record))
        return record if scores is None else replace(record, scores=self._unpacked(item_set, scores))

    def _unpacked(self, item_set: int, scores: bytes) -> ItemScores:
        ids = self._item_sets.item_ids(item_set)
        return ItemScores(ids, codec.unpack_scores(scores, len(ids)))

    def _outcome(self, done: Done, estimate: Estimate | None) -> tuple[Any, ...]:
        if isinstance(done, Failure):
            return (None, None, None, done.stage, done.reason, done.attempts, done.traceback)
        item_set = self._item_sets.number(done.scores.item_ids)
        objectives = None if estimate is None else codec.pack_estimate(estimate)
        return (item_set, codec.pack_scores(done.scores.values), objectives, None, None, None, None)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what happens inside as a whole; inside another transaction, with that one."""
        if self._connection.in_transaction:
            yield self._connection
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            self._item_sets.forget_new()
            if not isinstance(error, sqlite3.Error):
                raise
            raise ArchiveError(f"{self._path}: cannot write ({error}); everything told before is saved") from error

    def _rows(self, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise ArchiveError(f"{self._path}: cannot read ({error})") from error


def _event(connection: sqlite3.Connection, kind: str, requested: int | None) -> int:
    row = (time.time(), kind, requested)
    return int(connection.execute("INSERT INTO events (at, kind, requested) VALUES (?, ?, ?)", row).lastrowid or 0)
