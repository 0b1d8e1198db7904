"""The page of the search: how far it came, what it cost, which genes mattered, what failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.results.pages.importance import importances
from evomerge.results.pages.snapshot import Snapshot, number, numbers
from evomerge.results.report.progress_figures import REASONS, new_bests, relative_hypervolumes
from evomerge.typing import Floats
from fitness.costs import natural

_MOST_BARS = 3000  # of the timeline, the newest
_PAUSE_S = 60.0


def progress(snapshot: Snapshot) -> dict[str, Any]:
    """Return everything that the page draws."""
    contents = snapshot.contents
    items = contents.items
    return {
        "curves": _curves(snapshot),
        "points": _points(snapshot),
        "evaluations": contents.evaluations,
        "hours": number(contents.hours),
        "computed": _computed(snapshot),
        "importances": importances(snapshot),
        "bought": _bought(snapshot),
        "timeline": _timeline(snapshot),
        "failures": [
            {"stage": g.stage, "reason": g.reason, "candidates": list(g.numbers)[:50], "count": len(g.numbers)}
            | {"traceback": g.traceback[-4000:]}
            for g in contents.failures
        ],
        "items": None
        if items is None
        else {"saving": number(items.saving), "says": items.says_something, "answered": int(items.answered[-1])},
        "stops": _stops(snapshot),
        "versions": dict(contents.versions),
        "campaign": contents.campaign,
    }


def _stops(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return for which reasons candidates were stopped before they had answered all of their items."""
    scored = snapshot.contents.scored
    found: dict[str, list[tuple[int, int]]] = {}
    for of, stop in zip(scored.numbers.tolist(), scored.stops, strict=True):
        if stop is not None:
            found.setdefault(REASONS[stop.reason], []).append((of, stop.n_items))
    return [
        {"reason": reason, "count": len(those), "items": number(float(np.median([n for _, n in those])))}
        for reason, those in found.items()
    ]


def _points(snapshot: Snapshot) -> dict[str, Any]:
    """Return every candidate's mean, at most some thousands of them, for the cloud behind the curves."""
    scored = snapshot.contents.scored
    n = len(scored.numbers)
    at = np.unique(np.linspace(0, n - 1, min(n, 5000)).astype(np.intp)) if n else np.empty(0, dtype=np.intp)
    return {
        "number": scored.numbers[at].tolist(),
        "evaluation": scored.evaluation[at].tolist(),
        "hours": numbers(scored.hours[at]),
        "mean": numbers(scored.means[at]),
    }


def _curves(snapshot: Snapshot) -> list[dict[str, Any]]:
    scored = snapshot.contents.scored
    if not scored.whole.any():
        return []
    parents = [i for i in map(scored.index, snapshot.contents.parents) if i is not None]
    found = []
    steps, volumes = relative_hypervolumes(scored) if scored.several else (np.empty(0, dtype=np.intp), np.empty(0))
    if len(steps):
        found.append(_curve(snapshot, "hypervolume", steps, volumes, about="share of the box that all scores span"))
    mean, first = scored.means, scored.means[parents] if parents else np.empty(0)
    found.append(_best(snapshot, "best mean", mean, first.max() if len(first) else None))
    rates = scored.counting & np.array([cost is None for cost in scored.costs])
    if np.count_nonzero(rates) > 1:
        worst = scored.values[:, rates].min(axis=1)
        reference = float(worst[parents].max()) if parents else None
        found.append(_best(snapshot, "best worst objective", worst, reference, about="the highest lowest objective"))
    for k, (name, cost) in enumerate(zip(scored.objectives, scored.costs, strict=True)):
        reference = float(scored.values[parents, k].max()) if parents else None
        curve = _best(snapshot, f"best {name}", scored.values[:, k], reference)
        curve["values"] = [None if v is None else number(natural(v, cost)) for v in curve["values"]]
        curve["reference"] = None if reference is None else number(natural(reference, cost))
        found.append(curve | {"objective": k})
    return found


def _best(snapshot: Snapshot, name: str, values: Floats, reference: float | None, about: str = "") -> dict[str, Any]:
    steps = new_bests(np.where(snapshot.contents.scored.whole, values, -np.inf))
    curve = _curve(snapshot, name, steps, values[steps], about=about)
    return curve | {"reference": None if reference is None else number(float(reference))}


def _curve(snapshot: Snapshot, name: str, steps: NDArray[np.intp], values: Floats, *, about: str) -> dict[str, Any]:
    """Return the values that were reached at steps, held until the last outcome."""
    scored, contents = snapshot.contents.scored, snapshot.contents
    return {
        "name": name,
        "about": about,
        "evaluation": [*scored.evaluation[steps].tolist(), contents.evaluations],
        "hours": [*numbers(scored.hours[steps]), number(contents.hours)],
        "candidate": [*scored.numbers[steps].tolist(), int(scored.numbers[steps[-1]])],
        "values": numbers([*values.tolist(), float(values[-1])]),
        "reference": None,
    }


def _bought(snapshot: Snapshot) -> dict[str, Any] | None:
    """Return what is expected of the best candidate beside the best parent and the best recipe that costs no search."""
    contents, scored = snapshot.contents, snapshot.contents.scored
    best = contents.picks.searched.get("best")
    if best is None or scored.index(best) is None:
        return None
    landmarks = [(c.number, i) for c in contents.landmarks if (i := scored.index(c.number)) is not None]
    parents = [(n, i) for n, i in landmarks if n in contents.parents]
    by_hand = [(n, i) for n, i in landmarks if n not in contents.parents]

    def leader(among: Sequence[tuple[int, int]]) -> dict[str, Any] | None:
        if not among:
            return None
        n, i = max(among, key=lambda one: float(scored.means[one[1]]))
        return {"number": n, "name": contents.title(n), "mean": number(float(scored.means[i]))}

    expected = contents.expected[best]
    return {
        "best": {"number": best, "name": contents.title(best), "mean": number(expected.mean)}
        | {"stderr": number(expected.mean_stderr), "observed": number(float(scored.means[scored.index(best)]))},
        "parent": leader(parents),
        "recipe": leader(by_hand),
    }


def _computed(snapshot: Snapshot) -> dict[str, Any]:
    """Return the hours that workers had spent in all when each evaluation was done, from the first; of GPUs if any."""
    records = sorted(snapshot.records.values(), key=lambda record: record.at)
    on_gpus = {of for of, work in snapshot.works.items() if work.device != "cpu"}
    counted = [record.seconds if not on_gpus or record.number in on_gpus else 0.0 for record in records]
    hours = np.cumsum(counted) / 3600
    at = np.unique(np.linspace(0, len(records) - 1, min(len(records), 5000)).astype(np.intp))
    told = {"evaluation": (at + 1).tolist(), "hours": numbers(hours[at])}
    return {"unit": "GPU-hours" if on_gpus else "worker hours"} | told


def _timeline(snapshot: Snapshot) -> dict[str, Any]:
    """Return who was worked on when, in lanes that stand for workers, and how busy these were in all."""
    records = list(snapshot.records.values())
    places = {of: f"{work.node} {work.device}" for of, work in snapshot.works.items()}
    newest = sorted(records, key=lambda r: r.at)[-_MOST_BARS:]
    spans = sorted((r.at - r.seconds, r.at, r.number, r.estimate is None) for r in newest)
    lanes: list[float] = []
    names: list[str] = []
    bars = []
    for begin, end, of, failed in spans:
        place = places.get(of, "")
        free_here = (k for k, free in enumerate(lanes) if free <= begin + 1e-3 and names[k] == place)
        lane = next(free_here, len(lanes))
        names[lane : lane + 1] = [place]
        lanes[lane : lane + 1] = [end]
        bars.append([lane, number(begin - spans[0][0]), number(end - spans[0][0]), of, int(failed)])
    elapsed, upto = 0.0, spans[0][0] if spans else 0.0
    for begin, end, *_ in spans:  # pauses between sessions are nobody's idleness
        elapsed += max(0.0, min(begin - upto, _PAUSE_S)) + max(0.0, end - max(begin, upto))
        upto = max(upto, end)
    busy = sum(end - begin for begin, end, *_ in spans)
    seconds = np.array([end - begin for begin, end, *_ in spans])
    return {
        "lanes": len(lanes),
        "names": [name or str(k + 1) for k, name in enumerate(names)],
        "bars": bars,
        "left_out": len(records) - len(newest),
        "utilisation": number(min(1.0, busy / (len(lanes) * elapsed))) if elapsed > 0 and lanes else None,
        "median": number(float(np.median(seconds))) if len(seconds) else None,
        "busy": number(busy),
    }
