"""The page of the verdict: what held-out items say of parents, recipes by hand and winners."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from evomerge.results.pages.snapshot import Snapshot, number, shown
from evomerge.results.report.finalists import finalists_in_words
from evomerge.results.report.verdict import headline, held_out_table
from evomerge.results.verification.result import Comparison, Verification, Winner
from fitness.costs import Cost, natural
from fitness.statistics import Difference


def verdict(snapshot: Snapshot) -> dict[str, Any]:
    """Return the held-out table and what it says; before a verification what may be said without one."""
    contents = snapshot.contents
    first = headline(contents)
    found = {"standing": first.standing, "headline": first.text, "objectives": snapshot.objectives}
    if contents.verification is None:
        return found | {"verified": False}
    verification, costs = contents.verification, contents.scored.costs
    final = contents.final
    look = None if final is None else {"candidate": final.candidate, "lines": list(final.lines)}
    return found | {
        "verified": True,
        "split": verification.split,
        "chosen_on": verification.chosen_on,
        "number": verification.number,
        "told": verification.told,
        "now": contents.evaluations,
        "best_parent": verification.best_parent,
        "rows": _rows(verification),
        "gap": finalists_in_words(contents),
        "winners": [_winner(winner, costs) for winner in verification.winners],
        "dropped": [asdict(dropped) for dropped in verification.dropped],
        "constraints": list(contents.constraints),
        "final": look,
    }


def _rows(verification: Verification) -> list[dict[str, Any]]:
    return [
        {
            "name": row.row.name,
            "candidate": row.row.candidate,
            "kind": row.row.kind,
            "role": row.role,
            "picks": row.picks,
            "mean": number(row.row.mean),
            "objectives": [shown(objective) for objective in row.row.objectives],
            "difference": difference(row.row.difference),
        }
        for row in held_out_table(verification)
    ]


def _winner(winner: Winner, costs: tuple[Cost | None, ...]) -> dict[str, Any]:
    score, bought = winner.score, winner.bought
    return {
        "candidate": winner.candidate,
        "picks": list(winner.picks),
        "standing": winner.standing,
        "wins": winner.wins,
        "verdict": winner.verdict,
        "facts": list(winner.facts),
        "comparisons": [_comparison(one, costs) for one in winner.comparisons],
        "gap": difference(winner.gap),
        "score": None if score is None else {"observed": number(score.observed), "expected": number(score.expected)},
        "bought": None
        if bought is None
        else {"recipe": bought.recipe, "confidence": bought.confidence, "difference": difference(bought.difference)},
        "flips_against": winner.flips_against,
        "flips": [asdict(flips) for flips in winner.flips],
    }


def _comparison(one: Comparison, costs: tuple[Cost | None, ...]) -> dict[str, Any]:
    known = costs if len(costs) == len(one.objectives) else (None,) * len(one.objectives)
    objectives = [difference(each, cost) for each, cost in zip(one.objectives, known, strict=True)]
    return {"name": one.name, "kind": one.kind, "mean": difference(one.mean), "objectives": objectives}


def difference(found: Difference | None, cost: Cost | None = None) -> dict[str, float | None] | None:
    """Return a difference with its interval, of a cost as that of the cost."""
    if found is None:
        return None
    low, high = sorted((natural(found.low, cost), natural(found.high, cost)))
    return {"value": number(natural(found.value, cost)), "low": number(low), "high": number(high)}
