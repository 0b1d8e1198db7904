"""What addresses ask for, checked: pages of the table, candidates to compare."""

from __future__ import annotations

import math
from collections.abc import Mapping

from evomerge.results.pages.table import MOST_ROWS, STATES, Query
from evomerge.studio.errors import RequestError
from evomerge.studio.runs import Runs, Shelf

_MOST_ONLY = 2000
_LARGEST = 10**9


def query_of(asked: Mapping[str, str], starred: frozenset[int] = frozenset()) -> Query:
    """Return the query of an address: `sort=o0&order=down&offset=0&limit=100&state=told,failed&text=x&least.o0=0.5`."""
    states = tuple(state for state in asked.get("state", "").split(",") if state)
    if not set(states) <= set(STATES):
        raise RequestError(422, f"state: expected some of {', '.join(STATES)}, found {asked['state'][:80]!r}")
    only = _only(asked.get("only"))
    if asked.get("starred") == "1":
        only = starred if only is None else only & starred
    return Query(
        sort=asked.get("sort", "number"),
        descending=asked.get("order") == "down",
        offset=whole_number(asked.get("offset", "0")),
        limit=min(max(whole_number(asked.get("limit", "100")), 1), MOST_ROWS),
        states=states,
        text=asked.get("text", "")[:200],
        only=only,
        least=_bounds(asked, "least."),
        most=_bounds(asked, "most."),
    )


def side_of(asked: Mapping[str, str], name: str, runs: Runs) -> tuple[Shelf, int]:
    """Return run and number of one side of a comparison: `a=KEY:12`."""
    key, _, number = asked.get(name, "").rpartition(":")
    return runs.shelf(key), whole_number(number)


def whole_number(text: str) -> int:
    """Return a number of an address."""
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and int(text) <= _LARGEST):
        raise RequestError(422, f"number: expected a whole number from 0 to {_LARGEST}, found {text[:80]!r}")
    return int(text)


def _only(text: str | None) -> frozenset[int] | None:
    if text is None:
        return None
    parts = [part for part in text.split(",") if part]
    if len(parts) > _MOST_ONLY:
        raise RequestError(422, f"only: expected at most {_MOST_ONLY} numbers, found {len(parts)}")
    return frozenset(map(whole_number, parts))


def _bounds(asked: Mapping[str, str], prefix: str) -> dict[str, float]:
    found = {}
    for key, text in asked.items():
        if key.startswith(prefix):
            try:
                bound = float(text)
            except ValueError:
                bound = math.nan
            if not math.isfinite(bound):
                raise RequestError(422, f"{key[:80]}: expected a number, found {text[:80]!r}")
            found[key.removeprefix(prefix)] = bound
    return found
