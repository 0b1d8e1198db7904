"""The archive: everything that was ever scored, in one SQLite file.

It is an event store. `asked` (candidates, before they are submitted) and `told` (outcomes, before an optimiser learns
from them) are committed in the order in which they happen, so that a campaign resumes by replaying them into a fresh
optimiser. Only the driver writes; anyone may read while the search runs (`Archive.read`). A told event touches a
constant number of rows, so it costs the same at the millionth candidate as at the first.

Whoever looks at results gets what is whole: damaged rows are left out and named (`Archive.damage`). `history` refuses
them: a search does not go on from a past that is not its own.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from evomerge.archive.answers import KeptAnswers
from evomerge.archive.codec import Asked, Record, Told
from evomerge.archive.copying import copy_archive
from evomerge.archive.errors import ArchiveError, Damage, DamagedRowError, sqlite_error
from evomerge.archive.file import Opened, connect, open_to_read, open_to_write, remove_what_is_left
from evomerge.archive.history import read_history
from evomerge.archive.reader import Reader
from evomerge.archive.schema import FOUR_BYTES, create_tables
from evomerge.archive.writing import Writer
from evomerge.candidate import Candidate, Done, Work
from evomerge.version import __version__
from fitness.scores import Estimate, ItemScores, Split

T = TypeVar("T")


class Archive:
    """One campaign's event store."""

    def __init__(self, opened: Opened, path: Path) -> None:
        """Wrap what was opened; use `create`, `open` or `read`."""
        self._connection, self._close, self._path = opened.connection, opened.close, path
        self._reader = Reader(opened.connection, path, lambda: (self._writer.seal, self._writer.sealed_from))
        self._rows = self._reader.rows
        try:
            self._writer = Writer(opened.connection, path, opened.version, self._reader.item_sets)
        except BaseException:
            opened.close()
            raise

    @staticmethod
    def create(path: Path, campaign: str) -> Archive:
        """Make a new archive that records the campaign file's text; what an older one left there is removed."""
        if path.exists():
            raise ArchiveError(f"{path}: expected no archive, found one; open it instead")
        # Under another name until it is whole: a kill in between leaves no archive that cannot be opened.
        unfinished = path.with_name(f".{path.name}.new")
        unfinished.unlink(missing_ok=True)
        remove_what_is_left(unfinished)
        try:
            with contextlib.closing(connect(unfinished, "mode=rwc")) as connection:
                connection.execute("BEGIN IMMEDIATE")
                create_tables(connection, campaign, __version__)
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise sqlite_error(path, "make", error) from error
        remove_what_is_left(path)
        unfinished.rename(path)
        return Archive.open(path)

    @staticmethod
    def open(path: Path) -> Archive:
        """Open an existing archive for reading and writing; ArchiveError where there is none, or a newer one."""
        return Archive(open_to_write(path), path)

    @staticmethod
    def read(path: Path) -> Archive:
        """Open an archive read-only, also while a search writes to it; raises like `open`."""
        return Archive(open_to_read(path), path)

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._path

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
        for (value,) in self._rows.query("SELECT value FROM campaign WHERE key = ?", key):
            return str(value)
        return None

    def parsed(self, key: str, decode: Callable[[str], T], *, damaged: Literal["raise", "skip"] = "raise") -> T | None:
        """Return what a decoder makes of a note; None where there is none, or a damaged one is to be skipped.

        Raises:
            ArchiveError: it cannot be decoded.
        """
        noted = self.noted(key)
        if noted is None:
            return None
        make = partial(self._rows.decoded, "campaign", key, "it", partial(decode, noted))
        if damaged == "raise":
            return make()
        return next(iter(self._rows.whole([make])), None)

    def asked(self, candidates: Sequence[Candidate], requested: int | None) -> None:
        """Commit new candidates before they are submitted."""
        self._writer.asked(candidates, requested)

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
        self._writer.told(outcomes, split, kind)

    def transaction(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """Commit what happens inside as a whole; inside another transaction, with that one."""
        return self._writer.transaction()

    def history(self) -> Iterator[Asked | Told]:
        """Yield what a replay needs, in the order in which it was committed; raise where a row is damaged."""
        self.refuse_damage()
        yield from read_history(self._reader)

    def has(self, kind: str) -> bool:
        """Return whether events of a kind were committed; an older version knew `retold`: measured on other items."""
        return bool(self._rows.query("SELECT 1 FROM events WHERE kind = ? LIMIT 1", kind))

    def candidate(self, number: int) -> Candidate:
        """Return one candidate; ArchiveError where there is none, or its row is damaged."""
        self._reader.find_damage()
        damage = self._rows.damage.get(("candidates", number))
        if damage is not None:
            raise DamagedRowError(self._path, damage)
        for row in self._reader.candidate_rows("number = ?", number):
            return self._reader.unpacked(row)
        raise ArchiveError(f"candidate: expected a number below {self.n_candidates}, found {number}")

    def candidates_of(self, numbers: Iterable[int]) -> dict[int, Candidate]:
        """Return number -> candidate of those that are whole."""
        found = self._rows.whole(partial(self.candidate, number) for number in numbers)
        return {candidate.number: candidate for candidate in found}

    def candidates(self) -> list[Candidate]:
        """Return every candidate that was asked, in order."""
        return self._reader.candidates("1")

    def landmarks(self) -> list[Candidate]:
        """Return the candidates that no optimiser proposed, in order."""
        return self._reader.candidates("proposal IS NULL")

    def records(self, split: Split = "search") -> list[Record]:
        """Return every outcome on a split, in the order of their commits; see `rescored` for larger estimates."""
        return self._reader.records("split = ? AND kind IN ('told', 'verified')", split, scores=False)

    def held(self) -> dict[int, Record]:
        """Return candidate -> the newest scores with which it waited to be told, also of those that were told since."""
        return {record.number: record for record in self._reader.records("kind = 'held'", scores=True)}

    def screened(self) -> dict[int, Record]:
        """Return candidate -> its scores on the screen, of those that have some."""
        return {record.number: record for record in self._reader.records("kind = 'screened'", scores=True)}

    def rescored(self) -> dict[int, Estimate]:
        """Return candidate -> newest estimate on more search items than it was told with, of those that have one."""
        records = self._reader.records("kind = 'rescored'", scores=False)
        return {record.number: record.estimate for record in records if record.estimate is not None}

    def scores(self, number: int, split: Split) -> ItemScores | None:
        """Return a candidate's newest item scores on a split, the largest set; None when it was not scored there."""
        return self._reader.scores(number, split)

    def answered(self, split: Split) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield (candidate, ids of the items that it was scored on) of every outcome on a split, in their order."""
        return self._reader.answered(split)

    def worked(self) -> list[tuple[float, float]]:
        """Return when scores of the search, or of its screen, were committed, and how many seconds they had taken."""
        return self._reader.worked()

    def works(self, number: int | None = None) -> list[tuple[int, Work]]:
        """Return (candidate, where it was scored and what that took) of what workers measured, in order; or of one."""
        return self._reader.works(number)

    @property
    def answers(self) -> KeptAnswers:
        """What candidates answered and what items ask, as far as it is kept."""
        return KeptAnswers(self._rows, self.transaction)

    @property
    def n_candidates(self) -> int:
        """How many candidates were asked."""
        return self._reader.n_candidates()

    @property
    def damage(self) -> tuple[Damage, ...]:
        """The rows that are not what was committed, as far as they were looked at."""
        return tuple(self._rows.damage.values())

    def find_damage(self) -> None:
        """Look at every row; see `damage`."""
        self._reader.find_damage()

    def refuse_damage(self) -> None:
        """Raise where a row is damaged, naming the first and how many there are."""
        self._reader.find_damage()
        self._rows.refuse_damage()

    @property
    def has_digests(self) -> bool:
        """Whether events have digests; those of an older version have none, and damage is found only where it shows."""
        return self._writer.seal is not None

    @property
    def in_four_bytes(self) -> bool:
        """Whether the scores of this search have four bytes each; those of searches of an older version have eight."""
        return self.noted(FOUR_BYTES) is not None

    @property
    def unsettled(self) -> bool:
        """Whether commits lie beside the archive's file only, in SQLite's log."""
        return self._writer.unsettled

    def checkpoint(self, connection: sqlite3.Connection | None = None) -> None:
        """Write what lies in SQLite's log into the archive's file; another thread needs a connection of its own."""
        self._writer.checkpoint(connection)

    def check_presence(self, *, inside: bool = False) -> None:
        """Raise an ArchiveError where the archive was deleted, moved or replaced since it was opened.

        Args:
            inside: whether to look into the file as well, which another one may have been written over.
        """
        if inside:
            self._writer.look_inside()
        self._writer.check_presence()

    def copy(self, out: Path) -> None:
        """Write a whole copy, also while a search writes to the archive; `out` must not exist."""
        copy_archive(self._connection, self._path, out)

    def close(self) -> None:
        """Close the file, everything in it; a second call does nothing."""
        if self._writer.unsettled:
            self._writer.checkpoint()
        self._close()
