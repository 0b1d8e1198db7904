"""The held-out table as the page draws it: rows with their interval as a dot and whiskers on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evomerge.campaign.start_points import is_start_point
from evomerge.results.verification.result import Row, Standing, Verification

_ROLES: Mapping[Standing, str] = {"better": "winner", "trade_off": "trade-off", "not_shown": "picked"}


@dataclass(frozen=True)
class Whisker:
    """A difference and its 95 % interval, each in percent of the scale's width from its left end."""

    low: float
    value: float
    high: float


@dataclass(frozen=True)
class TableRow:
    """One line of the table.

    Attributes:
        role: what it is, in words.
        picks: what chose it, in words; empty where nothing did.
        whisker: None for the best parent, which the others are compared with.
    """

    row: Row
    role: str
    picks: str
    whisker: Whisker | None


@dataclass(frozen=True)
class HeldOutTable:
    """The whole table.

    Attributes:
        zero: where "no difference" is, in percent of the scale's width.
    """

    verification: Verification
    objectives: tuple[str, ...]
    rows: tuple[TableRow, ...]
    zero: float


def held_out_table(verification: Verification) -> HeldOutTable:
    """Return the table of a verification, rows in its order."""
    differences = [row.difference for row in verification.rows if row.difference is not None]
    low = min([0.0, *(d.low for d in differences)])
    high = max([0.0, *(d.high for d in differences)])
    margin = 0.06 * (high - low) or 1.0
    low, high = low - margin, high + margin

    def percent(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    rows = tuple(
        TableRow(
            row,
            _role(row, verification),
            _picks(row, verification),
            None if (d := row.difference) is None else Whisker(percent(d.low), percent(d.value), percent(d.high)),
        )
        for row in verification.rows
    )
    objectives = tuple(o.name for o in verification.rows[0].objectives) if verification.rows else ()
    return HeldOutTable(verification, objectives, rows, percent(0.0))


def _role(row: Row, verification: Verification) -> str:
    picked = verification.winner_of(row.candidate)
    if picked is not None:
        return _ROLES[picked.standing]
    if row.kind == "winner" and row.candidate == verification.winner:
        return _ROLES[verification.standing]
    if row.kind == "parent" and row.name == verification.best_parent:
        return "best parent"
    if is_start_point(row.name):
        return "best start point"
    return {"parent": "parent", "baseline": "baseline", "winner": "contender"}[row.kind]


def _picks(row: Row, verification: Verification) -> str:
    picked = verification.winner_of(row.candidate)
    return "" if picked is None else ", ".join(picked.picks)
