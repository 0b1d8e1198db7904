"""What the report says first, in plain words and never better than what was measured, and its held-out table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evomerge.campaign.start_points import is_start_point
from evomerge.results.report.contents import Contents
from evomerge.results.verification.result import Row, Standing, Verification

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
class TableRow:
    """One line of the table."""

    row: Row
    role: str  # what it is, in words
    picks: str  # what chose it, in words; empty where nothing did


def held_out_table(verification: Verification) -> tuple[TableRow, ...]:
    """Return the rows of a verification in its order, with what each is."""
    return tuple(
        TableRow(
            row,
            _role(row, verification),
            ", ".join(picked.picks) if (picked := verification.winner_of(row.candidate)) else "",
        )
        for row in verification.rows
    )


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
