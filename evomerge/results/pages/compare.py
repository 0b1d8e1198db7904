"""Two candidates side by side: paired differences, what their recipes differ in, items won and lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evomerge.archive import Archive
from evomerge.results.pages.items import answer_texts, item_texts
from evomerge.results.pages.snapshot import Snapshot, number
from evomerge.results.pages.verdict import difference
from evomerge.results.pooled import noted_objectives
from fitness.costs import Cost, cost_of_task, natural
from fitness.errors import FitnessError
from fitness.estimation import Objective
from fitness.scores import SPLITS, ItemScores, Split
from fitness.statistics import PairedComparison

_MOST_ITEMS = 500  # of each split that are listed
_MOST_DIFFERENCES = 400


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two; its answers are left out of pages that are passed on."""

    snapshot: Snapshot
    archive: Archive
    number: int
    shows_answers: bool = True

    def scores(self, split: Split) -> ItemScores | None:
        """Return its item scores on a split."""
        return self.archive.scores(self.number, split)


def compare(a: Side, b: Side) -> dict[str, Any]:
    """Return what tells two candidates apart, as far as both were scored on the same items."""
    splits = {}
    texts = item_texts(a.snapshot.contents.settings, ours=a.snapshot.ours)
    for split in SPLITS:
        mine, other = a.scores(split), b.scores(split)
        if mine is not None and other is not None and (shared := _shared(mine, other)) is not None:
            splits[split] = _split(a, *shared)
            mine_said, theirs_said = answer_texts(a, split), answer_texts(b, split)
            splits[split]["listed"] = [
                one
                | texts.get(one["item"], {})
                | _both(mine_said.get(one["item"], {}), theirs_said.get(one["item"], {}))
                for one in splits[split]["listed"]
            ]
    left, right = (side.archive.candidate(side.number).recipe.to_dict() for side in (a, b))
    return {"splits": splits, "recipe": list(_differing(left, right))[:_MOST_DIFFERENCES]}


def _both(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, str]:
    """Return what one item asks, and both answers, as far as they are kept."""
    asked = {key: text for said in (b, a) for key, text in said.items() if key != "answer"}
    return asked | {f"answer_{side}": said["answer"] for side, said in (("a", a), ("b", b)) if "answer" in said}


def _shared(a: ItemScores, b: ItemScores) -> tuple[ItemScores, ItemScores] | None:
    """Return both on the items that both answered; None where there are none."""
    at = {item: k for k, item in enumerate(b.item_ids)}
    kept = [k for k, item in enumerate(a.item_ids) if item in at]
    if not kept:
        return None
    ids = tuple(a.item_ids[k] for k in kept)
    return ItemScores(ids, a.values[kept]), ItemScores(ids, b.values[[at[item] for item in ids]])


def _split(side: Side, a: ItemScores, b: ItemScores) -> dict[str, Any]:
    task_of = {item: item.rpartition("/")[0] or item for item in a.item_ids}
    tasks = list(dict.fromkeys(task_of.values()))
    changed = [
        k for k in np.argsort(-np.abs(a.values - b.values), kind="stable").tolist() if a.values[k] != b.values[k]
    ]
    objectives = _objectives(side, tasks)
    comparison = PairedComparison(objectives, task_of)
    rows = [_row(comparison.of_only(o.name), o.name, o.cost, a, b) for o in objectives]
    by_task = [Objective(task, (task,), cost=cost_of_task(task)) for task in tasks]
    told = [_row(PairedComparison((o,), task_of), o.name, o.cost, a, b) for o in by_task]
    gained = int(np.count_nonzero(a.values > b.values))
    return {
        "items": len(a.item_ids),
        "won": gained,
        "lost": len(changed) - gained,
        "mean": _row(comparison, "mean", None, a, b) if len(objectives) > 1 else None,
        "objectives": rows,
        "tasks": told if len(told) > len(rows) else [],
        "listed": [
            {"item": a.item_ids[k], "a": _natural(a, k, task_of), "b": _natural(b, k, task_of)}
            | {"won": bool(a.values[k] > b.values[k])}
            for k in changed[:_MOST_ITEMS]
        ],
    }


def _natural(scores: ItemScores, k: int, task_of: Mapping[str, str]) -> float | None:
    return number(natural(float(scores.values[k]), cost_of_task(task_of[scores.item_ids[k]])))


def _objectives(side: Side, tasks: list[str]) -> tuple[Objective, ...]:
    """Return the campaign's objectives on these tasks; a task each where the archive does not say."""
    scored = side.snapshot.contents.scored
    noted = noted_objectives(side.archive)
    weights = dict(zip(scored.objectives, zip(scored.weights.tolist(), scored.costs, strict=True), strict=True))
    found = []
    for name, of_it in noted.items():
        known = tuple(task for task in of_it if task in tasks)
        if known and name in weights:
            found.append(Objective(name, known, weight=weights[name][0], cost=weights[name][1]))
    return tuple(found) or tuple(Objective(task, (task,), cost=cost_of_task(task)) for task in tasks)


def _row(comparison: PairedComparison, name: str, cost: Cost | None, a: ItemScores, b: ItemScores) -> dict[str, Any]:
    of_it = {task for objective in comparison.objectives for task in objective.tasks}
    kept = [k for k, item in enumerate(a.item_ids) if comparison.task_of[item] in of_it]
    ids = tuple(a.item_ids[k] for k in kept)
    mine, other = ItemScores(ids, a.values[kept]), ItemScores(ids, b.values[kept])
    task_of = {item: comparison.task_of[item] for item in ids}
    own = PairedComparison(comparison.objectives, task_of)
    try:
        found = own.of_means(mine, other)
        means = [natural(own.mean(one).value, cost) for one in (mine, other)]
    except FitnessError:
        return {"name": name, "items": len(ids), "a": None, "b": None, "difference": None}
    told = {"a": number(means[0]), "b": number(means[1]), "lower": cost is not None}
    return {"name": name, "items": len(ids), "difference": difference(found, cost)} | told


def _differing(a: Any, b: Any, path: str = "") -> Iterator[dict[str, Any]]:
    """Yield the places where two recipes are not alike, with what each has."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys([*a, *b]):
            yield from _differing(a.get(key), b.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for k, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _differing(one, other, f"{path}[{k}]")
    elif a != b:
        yield {"at": path, "a": _text(a), "b": _text(b)}


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:299]}…"
