"""The page of the front: points, what they are compared with, what was verified, what is predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.campaign.start_points import is_start_point
from evomerge.results.pages.snapshot import Snapshot, number, numbers, shown
from fitness.costs import natural

DRAWN = 10_000  # points besides the front and what is named; evenly thinned in the order of their evaluation
_PREDICTED = 200


def front(snapshot: Snapshot, drawn: int = DRAWN) -> dict[str, Any]:
    """Return everything that the page draws; of the points besides the front and what is named at most some."""
    contents = snapshot.contents
    at = _drawn(snapshot, drawn)
    scored = contents.scored
    on_front = np.zeros(len(scored.numbers), dtype=bool)
    on_front[scored.front] = True
    means = [contents.expected[n].mean if n in contents.expected else np.nan for n in scored.numbers[at].tolist()]
    return {
        "objectives": snapshot.objectives,
        "scored": len(scored.numbers),
        "several": scored.several,
        "estimated": scored.label.strip(" ()"),
        "points": {
            "number": scored.numbers[at].tolist(),
            "front": on_front[at].astype(int).tolist(),
            "whole": scored.whole[at].astype(int).tolist(),
            "missed": numbers(scored.violations[at]),
            "mean": numbers(scored.means[at]),
            "expected": numbers(np.array(means)),
            "evaluation": scored.evaluation[at].tolist(),
            "values": [numbers(column) for column in snapshot.values[at].T],
            "errors": [numbers(column) for column in scored.stderrs[at].T],
        },
        "named": _named(snapshot),
        "picks": contents.picks.as_json(),
        "winners": _winners(snapshot),
        "predicted": _predicted(snapshot),
    }


def _drawn(snapshot: Snapshot, most: int) -> NDArray[np.intp]:
    scored = snapshot.contents.scored
    rest = np.setdiff1d(np.arange(len(scored.numbers)), scored.front)
    if len(rest) > most:
        rest = rest[np.linspace(0, len(rest) - 1, most).astype(np.intp)]
    named = [*snapshot.contents.labels, *snapshot.contents.picks.chosen.values()]
    kept = [i for i in map(scored.index, named) if i is not None]
    return np.unique(np.concatenate([rest, scored.front, np.array(kept, dtype=np.intp)])).astype(np.intp)


def _named(snapshot: Snapshot) -> list[dict[str, Any]]:
    contents, found = snapshot.contents, []
    for landmark in contents.landmarks:
        i = contents.scored.index(landmark.number)
        if i is None:
            continue
        start = "start" if is_start_point(landmark.label) else "baseline"
        kind = "parent" if landmark.number in contents.parents else start
        objectives = [shown(objective) for objective in contents.scored.estimates[i].objectives]
        mean = number(float(contents.scored.means[i]))
        name = contents.title(landmark.number)
        found.append({"number": landmark.number, "name": name, "kind": kind, "mean": mean, "objectives": objectives})
    return found


def _winners(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return the verified winners with what test items say of their objectives."""
    verification = snapshot.contents.verification
    if verification is None:
        return []
    rows = {row.candidate: row for row in verification.rows}
    return [
        {
            "number": winner.candidate,
            "picks": list(winner.picks),
            "standing": winner.standing,
            "wins": winner.wins,
            "split": winner.split,
            "objectives": [shown(objective) for objective in rows[winner.candidate].objectives],
        }
        for winner in verification.winners
        if winner.candidate in rows
    ]


def _predicted(snapshot: Snapshot) -> dict[str, Any] | None:
    if snapshot.prediction is None:
        return None
    found, scored = snapshot.prediction, snapshot.contents.scored
    at = [scored.objectives.index(name) for name in found.objectives]
    costs = [scored.costs[k] for k in at]
    rows = zip(
        found.front.values[:_PREDICTED], found.front.low[:_PREDICTED], found.front.high[:_PREDICTED], strict=True
    )
    return {
        "objectives": at,
        "points": [
            [
                [number(natural(float(end), cost)) for end in ends]
                for *ends, cost in zip(value, low, high, costs, strict=True)
            ]
            for value, low, high in rows
        ],
        "quality": [[name, form, number(r2)] for name, form, r2 in found.quality],
    }
