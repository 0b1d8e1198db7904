"""Commits to an archive: as a whole, with digests, soon in the one file, and never into a file that is gone."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from evomerge.archive import codec
from evomerge.archive.answers import keep_answers
from evomerge.archive.digests import Seal
from evomerge.archive.errors import SQLITE_ERRORS, sqlite_error
from evomerge.archive.presence import Presence
from evomerge.archive.schema import FIRST_WITH_DIGESTS, RUN_ID, SEALED_FROM, WORK_TABLE, sealed_from, upgrade
from evomerge.candidate import Candidate, Done, Failure, Scored
from fitness.scores import Estimate

# A commit (0.3 ms with synchronous = FULL on our disk) lies in SQLite's log until a checkpoint writes it into the
# archive itself: 0.35 ms more, with every commit as many as a rollback journal's 0.85 ms. So at most this often, which
# is below 1 % of the quickest search; a second later `watching` does what is left.
CHECKPOINT_EVERY_S = 0.1


class Writer:
    """The one who commits.

    Args:
        connection: of the archive.
        path: of the archive.
        version: of its schema; an older archive is upgraded with its next event.
        item_sets: numbers sets of items.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, version: int, item_sets: codec.ItemSets) -> None:
        self._connection, self._path, self._item_sets = connection, path, item_sets
        self._presence = Presence(path)
        self._last: int | None = None  # the newest event; None: not looked up yet
        self._checkpointed = 0.0
        self.seal: Seal | None = None
        self.sealed_from = 0
        self.unsettled = False  # whether commits lie in the log alone
        if version >= FIRST_WITH_DIGESTS:
            self._read_seal()

    def check_presence(self) -> None:
        """Raise where the archive was deleted, moved or replaced since it was opened."""
        self._presence.check()

    def look_inside(self) -> None:
        """See whether another archive was written over this one, which the next `check_presence` raises."""
        self._presence.look_inside()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what happens inside as a whole; inside another transaction, with that one."""
        if self._connection.in_transaction:
            yield self._connection
            return
        before = self._last, self.seal, self.sealed_from
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            self._item_sets.forget_new()
            self._last, self.seal, self.sealed_from = before
            if not isinstance(error, sqlite3.Error):
                raise
            self._presence.check()
            raise sqlite_error(self._path, "write", error) from error
        self._presence.check()
        self.unsettled = True
        if time.monotonic() - self._checkpointed >= CHECKPOINT_EVERY_S:
            self.checkpoint()

    def checkpoint(self, connection: sqlite3.Connection | None = None) -> None:
        """Write what lies in the log into the archive itself; where that fails, it stays in the log, which is safe.

        Args:
            connection: another thread's own; None: this one.
        """
        self._checkpointed = time.monotonic()
        with contextlib.suppress(sqlite3.Error):
            found = (connection or self._connection).execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            busy, n_frames, n_written = found
            self.unsettled = bool(busy) or n_frames != n_written

    def asked(self, candidates: Sequence[Candidate], requested: int | None) -> None:
        """Commit new candidates."""
        with self.transaction() as connection:
            seal, event = self._event(connection, "asked", requested, len(candidates))
            rows = [
                (c.number, event, c.label, c.proposal, codec.pack_genome(c.genome), codec.pack_recipe(c.recipe))
                for c in candidates
            ]
            digests = [bytes.fromhex(c.recipe_digest) for c in candidates]
            connection.executemany(
                "INSERT INTO candidates (number, event, label, proposal, genome, recipe, recipe_digest, digest)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(*row, digest, seal.of((*row, digest))) for row, digest in zip(rows, digests, strict=True)],
            )

    def told(self, outcomes: Sequence[tuple[Done, Estimate | None]], split: str, kind: str) -> None:
        """Commit outcomes."""
        with self.transaction() as connection:
            seal, event = self._event(connection, kind, None, len(outcomes))
            rows = [
                (event, i, done.candidate.number, split, float(done.seconds) + 0.0, *self._outcome(done, estimate))
                for i, (done, estimate) in enumerate(outcomes)
            ]
            connection.executemany(
                f"INSERT INTO outcomes VALUES ({', '.join('?' * 13)})", [(*row, seal.of(row)) for row in rows]
            )
            dones = [done for done, _ in outcomes]
            worked = [
                (event, i, done.candidate.number, codec.pack_work(done.work))
                for i, done in enumerate(dones)
                if isinstance(done, Scored) and done.work is not None
            ]
            if worked:
                connection.execute(WORK_TABLE)
                connection.executemany("INSERT INTO work VALUES (?, ?, ?, ?)", worked)
            answered = [
                (done.candidate.number, split, done.scores.answers)
                for done in dones
                if isinstance(done, Scored) and done.scores.answers
            ]
            if answered:
                keep_answers(connection, answered)

    def _outcome(self, done: Done, estimate: Estimate | None) -> tuple[object, ...]:
        if isinstance(done, Failure):
            return (None, None, None, done.stage, done.reason, done.attempts, done.traceback)
        item_set = self._item_sets.number(done.scores.item_ids)
        objectives = None if estimate is None else codec.pack_estimate(estimate)
        return (item_set, codec.pack_scores(done.scores.values), objectives, None, None, None, None)

    def _event(self, connection: sqlite3.Connection, kind: str, requested: int | None, n_rows: int) -> tuple[Seal, int]:
        """Insert an event; its number is the next one, so that another process that writes is noticed."""
        if self.seal is None:
            upgrade(connection)
            self._read_seal()
            assert self.seal is not None
        if self._last is None:
            ((self._last,),) = connection.execute("SELECT coalesce(max(seq), 0) FROM events")
        self._last += 1
        row = (self._last, time.time(), kind, requested)
        digest = self.seal.of((*row, n_rows))
        connection.execute(
            "INSERT INTO events (seq, at, kind, requested, digest) VALUES (?, ?, ?, ?, ?)", (*row, digest)
        )
        return self.seal, self._last

    def _read_seal(self) -> None:
        try:
            found = dict(
                self._connection.execute("SELECT key, value FROM campaign WHERE key IN (?, ?)", (RUN_ID, SEALED_FROM))
            )
        except SQLITE_ERRORS as error:  # nothing else may have been read of a damaged file so far
            raise sqlite_error(self._path, "read", error) from error
        self.seal = Seal(str(found.get(RUN_ID, "")))
        self.sealed_from = sealed_from(found)
