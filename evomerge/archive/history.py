"""The past, event by event: what a replay needs, read in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from evomerge.archive.codec import Asked, Told
from evomerge.archive.reader import Reader
from evomerge.archive.rows import Row

_BLOCK = 2000  # events that are read at once


def read_history(reader: Reader) -> Iterator[Asked | Told]:
    """Yield the events that were asked and told, in the order in which they were committed."""
    events = reader.rows.query("SELECT seq, kind, requested FROM events WHERE kind IN ('asked', 'told') ORDER BY seq")
    for start in range(0, len(events), _BLOCK):
        block = events[start : start + _BLOCK]
        span = (block[0][0], block[-1][0])
        asked = _by_event(reader.candidate_rows("event BETWEEN ? AND ? ORDER BY event, number", *span))
        told = _by_event(reader.record_rows("event BETWEEN ? AND ? ORDER BY event, position", *span))
        for seq, kind, requested in block:
            if kind == "asked":
                yield Asked(tuple(map(reader.candidate, asked.get(seq, ()))), requested)
            else:
                yield Told(tuple(map(reader.record, told.get(seq, ()))))


def _by_event(found: list[Row]) -> dict[object, list[Row]]:
    return {event: list(rows) for event, rows in groupby(found, itemgetter(0))}
