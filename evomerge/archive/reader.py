"""Candidates and records of an archive's rows: what is whole; what is damaged is named and left out."""

from __future__ import annotations

import contextlib
import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

from evomerge.archive import codec
from evomerge.archive.campaign_text import Role, objective_roles
from evomerge.archive.codec import ItemSets, Record
from evomerge.archive.digests import Seal
from evomerge.archive.errors import Damage
from evomerge.archive.rows import Row, Rows
from evomerge.archive.soundness import find_damage, outcome_key
from evomerge.candidate import Candidate, Work
from fitness.scores import ItemScores, Split


class Reader:
    """Makes objects of an archive's rows; whatever is wrong with one is a DamagedRowError.

    Args:
        connection: of the archive.
        path: of the archive, for messages.
        seal: returns what makes its digests, None where it has none; and the first event that has some.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, seal: Callable[[], tuple[Seal | None, int]]) -> None:
        self.rows, self.item_sets = Rows(connection, path), ItemSets(connection)
        self._seal = seal
        self._searched = False

    def find_damage(self) -> None:
        """Look at every row, once; what this archive itself commits later is known to be whole."""
        if not self._searched:
            find_damage(self.rows, *self._seal())
            self._searched = True

    def candidate_rows(self, where: str, *values: object) -> list[Row]:
        """Return rows for `candidate`, their event first."""
        digest = "NULL" if self._seal()[0] is None else "recipe_digest"
        columns = f"event, number, recipe, label, proposal, genome, {digest}"
        return self.rows.query(f"SELECT {columns} FROM candidates WHERE {where}", *values)

    def record_rows(self, where: str, *values: object, scores: bool = True) -> list[Row]:
        """Return rows for `record`, their event first."""
        columns = "event, position, candidate, split, at, seconds, objectives, stage, reason, attempts, traceback"
        columns += ", item_set, scores" if scores else ", item_set, NULL"
        return self.rows.query(f"SELECT {columns} FROM outcomes JOIN events ON event = seq WHERE {where}", *values)

    def candidate(self, row: Row) -> Candidate:
        """Return the candidate of a row; its recipe is unpacked when it is first asked for."""
        _, number, recipe, label, proposal, genome, digest = row
        unpacked = self.rows.decoded("candidates", number, "its genome", partial(codec.unpack_genome, genome))
        unpack = partial(self.rows.decoded, "candidates", number, "its recipe", partial(codec.unpack_recipe, recipe))
        return Candidate.recorded(number, unpack, digest, label=label, proposal=proposal, genome=unpacked)

    def unpacked(self, row: Row) -> Candidate:
        """Return the candidate of a row; one without a digest shows by its recipe whether it is whole."""
        candidate = self.candidate(row)
        if row[-1] is None:
            _ = candidate.recipe
        return candidate

    def record(self, row: Row) -> Record:
        """Return the outcome of a row, with its scores where the row has some."""
        event, position, *of_record, item_set, scores = row
        decoded = partial(self.rows.decoded, "outcomes", outcome_key(event, position))
        found = None if scores is None else decoded("its scores", partial(self._scores, item_set, scores))
        record: Record = decoded("its estimate", partial(codec.unpack_record, of_record, self._roles, found))
        return record

    @cached_property
    def _roles(self) -> Mapping[str, Role]:
        """The roles of the objectives, which no campaign may change once it began."""
        for (text,) in self.rows.query("SELECT value FROM campaign WHERE key = 'campaign'"):
            return objective_roles(str(text))
        return {}

    def candidates(self, where: str) -> list[Candidate]:
        """Return the candidates that are whole, in their order."""
        self.find_damage()
        rows = self.candidate_rows(f"{where} ORDER BY number")
        return self.rows.whole(partial(self.unpacked, row) for row in rows if self._is_whole(row[1], row[0]))

    def records(self, where: str, *values: object, scores: bool) -> list[Record]:
        """Return the outcomes that are whole, in the order of their commits."""
        self.find_damage()
        rows = self.record_rows(f"{where} ORDER BY event, position", *values, scores=scores)
        rows = [row for row in rows if self._is_whole(row[2], *row[:2])]
        found = dict(zip(rows, map(self._record_or_none, rows), strict=True))
        return self._of_one_kind([(row, record) for row, record in found.items() if record is not None])

    def scores(self, number: int, split: Split) -> ItemScores | None:
        """Return a candidate's newest item scores on a split that are whole."""
        self.find_damage()
        query = (
            "SELECT event, position, item_set, scores FROM outcomes JOIN events ON event = seq WHERE candidate = ?"
            " AND split = ? AND scores IS NOT NULL AND kind NOT IN ('held', 'retold') ORDER BY event DESC"
        )
        for event, position, *packed in self.rows.query(query, number, split):
            if self._is_whole(number, event, position):
                key, decode = outcome_key(event, position), partial(self._scores, *packed)
                for scores in self.rows.whole([partial(self.rows.decoded, "outcomes", key, "its scores", decode)]):
                    return scores
        return None

    def answered(self, split: Split) -> Iterator[tuple[int, tuple[str, ...]]]:
        """Yield (candidate, ids of the items that it was scored on) of every outcome on a split, in their order."""
        self.find_damage()
        query = "SELECT event, position, candidate, item_set FROM outcomes WHERE split = ? AND item_set IS NOT NULL"
        for event, position, number, item_set in self.rows.query(f"{query} ORDER BY event, position", split):
            if self._is_whole(number, event, position):
                key, decode = outcome_key(event, position), partial(self.item_sets.item_ids, item_set)
                for ids in self.rows.whole([partial(self.rows.decoded, "outcomes", key, "its items", decode)]):
                    yield number, ids

    def worked(self) -> list[tuple[float, float]]:
        """Return when scores of the search, or of its screen, were committed, and how many seconds they had taken."""
        self.find_damage()
        query = (
            "SELECT seq, at, sum(seconds) FROM outcomes JOIN events ON event = seq"
            " WHERE split IN ('search', 'screen') GROUP BY seq ORDER BY seq"
        )
        rows = [row for row in self.rows.query(query) if not self.rows.is_damaged("events", row[0])]
        return [(at, seconds) for _, at, seconds in rows if _is_finite(at) and _is_finite(seconds)]

    def works(self, number: int | None) -> list[tuple[int, Work]]:
        """Return how candidates, or one of them, were scored, in the order of the commits, as far as can be read."""
        if not self.rows.query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'work'"):
            return []
        found = []
        query = "SELECT candidate, facts FROM work WHERE ?1 IS NULL OR candidate = ?1 ORDER BY event, position"
        for of, facts in self.rows.query(query, number):
            with contextlib.suppress(ValueError, TypeError):  # it has no digest, and nothing depends on it
                found.append((of, codec.unpack_work(facts)))
        return found

    def n_candidates(self) -> int:
        """Return the number of the last candidate that was asked, plus 1."""
        ((after_last, count),) = self.rows.query("SELECT coalesce(max(number) + 1, 0), count(*) FROM candidates")
        if after_last != count:  # a row is missing, or has a number that nobody gave it
            return max((c.number for c in self.candidates("1")), default=-1) + 1
        return int(count)

    def _is_whole(self, number: object, event: object, position: object = None) -> bool:
        damaged = self.rows.is_damaged
        if damaged("candidates", number):
            return False
        return position is None or not (damaged("events", event) or damaged("outcomes", outcome_key(event, position)))

    def _record_or_none(self, row: Row) -> Record | None:
        return next(iter(self.rows.whole([partial(self.record, row)])), None)

    def _of_one_kind(self, found: Sequence[tuple[Row, Record]]) -> list[Record]:
        """Leave out estimates of other objectives than most have: fronts compare them."""
        names = Counter(_objectives(record) for _, record in found if record.estimate is not None)
        if len(names) > 1:
            usual = names.most_common(1)[0][0]
            for row, record in found:
                if record.estimate is not None and _objectives(record) != usual:
                    kind = f"expected the objectives {', '.join(usual)}, found {', '.join(_objectives(record))}"
                    self.rows.note(Damage("outcomes", outcome_key(*row[:2]), kind))
        return [record for row, record in found if len(names) < 2 or self._is_whole(row[2], *row[:2])]

    def _scores(self, item_set: int, scores: bytes) -> ItemScores:
        ids = self.item_sets.item_ids(item_set)
        return ItemScores(ids, codec.unpack_scores(scores, len(ids)))


def _objectives(record: Record) -> tuple[str, ...]:
    return () if record.estimate is None else tuple(objective.name for objective in record.estimate.objectives)


def _is_finite(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)
