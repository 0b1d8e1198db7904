"""What stands at the head of every page: which run, how far, and what may be said of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from evomerge.results.pages.snapshot import Snapshot, number
from evomerge.results.report.verdict import headline
from evomerge.results.screen_agreement import ScreenAgreement


def overview(snapshot: Snapshot, *, live: bool, screen: ScreenAgreement | None = None) -> dict[str, Any]:
    """Return the head of a run; `live` says whether a process holds it."""
    contents = snapshot.contents
    first = headline(contents)
    budget = contents.settings.get("budget")
    optimiser = contents.settings.get("optimiser")
    space = contents.settings.get("space")
    states = Counter(snapshot.state(candidate.number) for candidate in snapshot.candidates)
    return {
        "name": contents.name,
        "standing": first.standing,
        "headline": first.text,
        "live": live,
        "ending": snapshot.ending,
        "objectives": snapshot.objectives,
        "asked": len(snapshot.candidates),
        "told": contents.evaluations,
        "states": dict(states),
        "budget": budget.get("evaluations") if isinstance(budget, dict) else None,
        "hours": number(contents.hours),
        "began": contents.began,
        "ended": contents.ended,
        "optimiser": str(optimiser.get("kind", "")) if isinstance(optimiser, dict) else "",
        "space": _space(space),
        "parents": list(contents.sources),
        "best_parent": _best_parent(snapshot),
        "picks": contents.picks.as_json(),
        "labels": dict(contents.labels),
        "notes": [*contents.constraints, *([] if screen is None else [screen.in_words])],
        "front_size": len(contents.scored.front),
        "verified": contents.verification is not None,
    }


def _best_parent(snapshot: Snapshot) -> int | None:
    i = snapshot.contents.best_parent
    return None if i is None else int(snapshot.contents.scored.numbers[i])


def _space(section: object) -> str:
    if not isinstance(section, dict):
        return ""
    operator = section.get("operator")
    return " · ".join(str(part) for part in (section.get("kind"), operator) if isinstance(part, str) and part)
