"""What the report says first, in plain words and never better than what was measured, and its held-out table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evomerge.campaign.start_points import is_start_point
from evomerge.results.report.contents import Contents
from evomerge.results.verification.result import Row, Standing, Verification
from fitness.costs import titled

_STANDINGS: Mapping[Standing, str] = {
    "better": "won",
    "better_than_parents": "traded",
    "trade_off": "traded",
    "not_shown": "lost",
}
_ROLES: Mapping[Standing, str] = {
    "better": "winner",
    "better_than_parents": "better than the parents",
    "trade_off": "trade-off",
    "not_shown": "picked",
}


@dataclass(frozen=True)
class Headline:
    """What the report says first."""

    # "won", "traded" and "lost" are held-out verdicts; "open" is a search not verified; "empty" has no score
    standing: str
    text: str  # one or two sentences


def headline(contents: Contents) -> Headline:
    """Return the verdict of the verification, or what the search items allow to say without one."""
    if contents.verification is not None:
        final = "" if contents.final is None else f" {contents.final.lines[0]}"
        return Headline(_STANDINGS[contents.verification.standing], f"{contents.verification.verdict}{final}")
    scored, best = contents.scored, contents.picked("best")
    if best is None:
        failed = contents.n_failures
        return Headline("empty", f"All {failed} candidates failed." if failed else "No candidate has been scored yet.")
    number, parent = int(scored.numbers[best]), contents.best_parent
    estimate = contents.expected[number]
    likely, stderr = estimate.mean, estimate.mean_stderr
    leader = f"{_capital(contents.title(number))} leads with an expected {likely:.3f} ± {stderr:.3f} "
    leader += f"({scored.means[best]:.3f} {'estimated' if scored.estimated[best] else 'observed'} on search items)"
    if parent is None:
        text = f"{leader}."
    elif likely <= scored.means[parent]:
        name = contents.title(int(scored.numbers[parent]))
        text = f"No merge is better than the best parent ({name}, {scored.means[parent]:.3f}) on search items yet."
    else:
        ahead, name = likely - scored.means[parent], contents.title(int(scored.numbers[parent]))
        text = f"{leader}, {ahead:.3f} above the best parent ({name})."
    return Headline("open", f"{text} Nothing is verified on held-out items yet.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class Whisker:
    """A difference and its 95 % interval, each in percent of the scale's width from its left end."""

    low: float
    value: float
    high: float


@dataclass(frozen=True)
class TableRow:
    """One line of the table."""

    row: Row
    role: str  # what it is, in words
    picks: str  # what chose it, in words; empty where nothing did
    whisker: Whisker | None  # None for the best parent, which the others are compared with


@dataclass(frozen=True)
class HeldOutTable:
    """The whole table."""

    verification: Verification
    objectives: tuple[str, ...]
    rows: tuple[TableRow, ...]
    zero: float  # where "no difference" is, in percent of the scale's width


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
            ", ".join(picked.picks) if (picked := verification.winner_of(row.candidate)) else "",
            None if (d := row.difference) is None else Whisker(percent(d.low), percent(d.value), percent(d.high)),
        )
        for row in verification.rows
    )
    objectives = tuple(titled(o.name, o.cost) for o in verification.rows[0].objectives) if verification.rows else ()
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
