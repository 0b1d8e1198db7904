"""Finds the rows of an archive that are not what was committed: flipped bits, missing rows, rows of another archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from evomerge.archive.digests import Seal
from evomerge.archive.errors import ArchiveError, Damage
from evomerge.archive.rows import Rows

# What digests are of, in this order; that of an event is also of the number of its rows.
EVENT_COLUMNS = "seq, at, kind, requested"
CANDIDATE_COLUMNS = "number, event, label, proposal, genome, recipe, recipe_digest"
OUTCOME_COLUMNS = (
    "event, position, candidate, split, seconds, item_set, scores, objectives, stage, reason, attempts, traceback"
)
_BLOCK = 2000  # events that are read at once
_NEWEST = 100
_OTHER = "its digest tells that it is not what was committed"


def find_damage(rows: Rows, seal: Seal | None, sealed_from: int) -> None:
    """Note every damaged row.

    Args:
        rows: of the archive; they remember what is found.
        seal: makes its digests; None for an archive of an older version, which has none.
        sealed_from: the first event with digests.
    """
    if seal is not None:
        for first, last in _blocks(rows):
            _check_block(rows, seal, sealed_from, (first, last))
    _find_strays(rows)


def check_newest(rows: Rows, seal: Seal, sealed_from: int) -> None:
    """Do the same for the newest events alone."""
    *_, block = (0, 0), *_blocks(rows)
    _check_block(rows, seal, sealed_from, (max(block[0], block[1] - _NEWEST), block[1]))


def outcome_key(event: object, position: object) -> str:
    """Return how messages name a row of outcomes."""
    return f"(event {event}, position {position})"


def _blocks(rows: Rows) -> Iterator[tuple[int, int]]:
    """Yield [first, last] of events, in order; no two of them overlap."""
    numbers = [seq for (seq,) in rows.query("SELECT seq FROM events ORDER BY seq")]
    for start in range(0, len(numbers), _BLOCK):
        block = numbers[start : start + _BLOCK]
        yield block[0], block[-1]


def _check_block(rows: Rows, seal: Seal, sealed_from: int, block: tuple[int, int]) -> None:
    try:
        damaged = list(_damage_in(rows, seal, sealed_from, block))
    except ArchiveError as error:  # a page of the file: halve, until it is known which event lies there
        first, last = block
        if first == last:
            rows.note(Damage("events", first, f"it cannot be read ({error.__cause__ or error})"))
            return
        middle = (first + last) // 2
        _check_block(rows, seal, sealed_from, (first, middle))
        _check_block(rows, seal, sealed_from, (middle + 1, last))
        return
    for damage in damaged:
        rows.note(damage)


def _damage_in(rows: Rows, seal: Seal, sealed_from: int, block: tuple[int, int]) -> Iterator[Damage]:
    n_rows: Counter[object] = Counter()  # event -> how many rows it has
    queries = (
        ("candidates", f"SELECT {CANDIDATE_COLUMNS}, digest FROM candidates", "number"),
        ("outcomes", f"SELECT {OUTCOME_COLUMNS}, digest FROM outcomes", "position"),
    )
    for table, select, order in queries:
        for *values, digest in rows.query(f"{select} WHERE event BETWEEN ? AND ? ORDER BY event, {order}", *block):
            event = values[1] if table == "candidates" else values[0]
            if not _is_sealed(event, sealed_from):
                continue
            n_rows[event] += 1
            if digest != seal.of(values):
                key = values[0] if table == "candidates" else outcome_key(values[0], values[1])
                yield Damage(table, key, _OTHER)
    for *values, digest in rows.query(f"SELECT {EVENT_COLUMNS}, digest FROM events WHERE seq BETWEEN ? AND ?", *block):
        seq = values[0]
        if _is_sealed(seq, sealed_from) and digest != seal.of([*values, n_rows[seq]]):
            yield Damage("events", seq, _OTHER)


def _is_sealed(event: object, sealed_from: int) -> bool:
    return not isinstance(event, int) or event >= sealed_from


def _find_strays(rows: Rows) -> None:
    """Note rows whose event or candidate is gone, and events that are missing."""
    no_event, no_candidate = "event NOT IN (SELECT seq FROM events)", "candidate NOT IN (SELECT number FROM candidates)"
    for *key, candidate in rows.query(f"SELECT event, position, candidate FROM outcomes WHERE {no_candidate}"):
        rows.note(Damage("outcomes", outcome_key(*key), f"its candidate {candidate} is missing"))
    for event, position in rows.query(f"SELECT event, position FROM outcomes WHERE {no_event}"):
        rows.note(Damage("outcomes", outcome_key(event, position), f"its event {event} is missing"))
    for number, event in rows.query(f"SELECT number, event FROM candidates WHERE {no_event}"):
        rows.note(Damage("candidates", number, f"its event {event} is missing"))
    ((n_missing,),) = rows.query("SELECT coalesce(max(seq), 0) - count(*) FROM events")
    if n_missing:
        ((first,),) = rows.query(
            "SELECT min(seq) + 1 FROM (SELECT 0 AS seq UNION ALL SELECT seq FROM events)"
            " WHERE seq + 1 NOT IN (SELECT seq FROM events)"
        )
        rows.note(Damage("events", first, f"it is missing ({n_missing} events are)"))
