"""Which of a campaign's items a bank's are: by task and id, by R's spelling of it, or by what they ask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.responses.bank.bank import Bank, ItemKey
from evomerge.responses.bank.reading import SCORE
from fitness.errors import FitnessError
from fitness.reduction.response_matrix import ResponseMatrix

_NO_NAME = re.compile(r"[^A-Za-z0-9._]")


@dataclass(frozen=True)
class CampaignItems:
    """What is known of a campaign's search items.

    Attributes:
        items: ids, `task/item`.
        asked: item id -> digest of what it asks, as far as that is known.
        measures: task -> what its scores measure.
    """

    items: tuple[str, ...]
    asked: Mapping[str, str]
    measures: Mapping[str, str]

    def task_of(self, item: str) -> str:
        """Return the task of an item, by its id."""
        return max((t for t in self.measures if item.startswith(f"{t}/")), key=len, default=item.partition("/")[0])


@dataclass(frozen=True, eq=False)
class MatchedBank:
    """What a bank has of a campaign's items.

    Attributes:
        bank: all of it.
        places: (n,) indices of the campaign's items.
        keys: (n,) indices of the bank's keys that they are.
        measure: what is read of answers: by task of the campaign; empty where there are parameters.
    """

    bank: Bank
    places: NDArray[np.intp]
    keys: NDArray[np.intp]
    measures: Mapping[str, str]

    @property
    def record(self) -> dict[str, Any]:
        """What the reduced benchmark says of it."""
        bank = self.bank
        found = {"file": str(bank.path), "kind": bank.kind, "items": len(self.places), "sha256": bank.digest}
        return found | ({"models": len(bank.answers), "measures": dict(self.measures)} if bank.answers else {})

    def matrix(self, campaign: CampaignItems) -> ResponseMatrix:
        """Return its models' scores of all of the campaign's items, NaN where it has none."""
        models = list(self.bank.answers)
        scores = np.full((len(models), len(campaign.items)), np.nan)
        for row, model in enumerate(models):
            answers = self.bank.answers[model]
            for place, key in zip(self.places.tolist(), self.keys.tolist(), strict=True):
                measure = self.measures[campaign.task_of(campaign.items[place])]
                scores[row, place] = answers.get(measure, {}).get(key, np.nan)
        some = np.isfinite(scores).any(axis=1)
        kept = tuple(model for model, yes in zip(models, some, strict=True) if yes)
        return ResponseMatrix(kept, campaign.items, scores[some])


def match(bank: Bank, campaign: CampaignItems) -> MatchedBank:
    """Find the campaign's items in a bank.

    Raises:
        FitnessError: it has none of them, its names mean items of several tasks, or it does not have the measure.
    """
    if bank.task and bank.task not in campaign.measures:
        known = ", ".join(campaign.measures)
        raise FitnessError(f"--bank {bank.task}=...: expected one of the campaign's tasks {known}, found {bank.task!r}")
    names = _names(bank, campaign)
    places: dict[int, int] = {}
    for k, key in enumerate(bank.keys):
        found = _found(key, names, bank.path)
        if found is not None:
            places.setdefault(found, k)
    if not places:
        item, key = campaign.items[0], bank.keys[0]
        theirs = f"{key.task}/{key.item}" if key.task else key.item
        raise FitnessError(
            f"{bank.path}: expected items of the campaign, found none: here they are called as {item!r}, there as "
            f"{theirs[:80]!r}; where names of tasks differ, write --bank TASK={bank.path.name}"
        )
    order = sorted(places)
    tasks = {campaign.task_of(campaign.items[place]) for place in order}
    measures = {task: _measure(bank, campaign, task, places) for task in sorted(tasks)} if bank.answers else {}
    return MatchedBank(
        bank, np.array(order, dtype=np.intp), np.array([places[p] for p in order], dtype=np.intp), measures
    )


@dataclass(frozen=True)
class _Names:
    whole: Mapping[str, int]  # task/item -> index
    alone: Mapping[str, tuple[int, ...]]  # item, or what R makes of it -> indices
    asked: Mapping[str, tuple[int, ...]]  # digest -> indices


def _names(bank: Bank, campaign: CampaignItems) -> _Names:
    whole: dict[str, int] = {}
    alone: dict[str, list[int]] = {}
    asked: dict[str, list[int]] = {}
    for i, item in enumerate(campaign.items):
        task = campaign.task_of(item)
        if bank.task not in ("", task):
            continue
        rest = item[len(task) + 1 :]
        for name in {item, f"{task.partition(':')[0]}/{rest}"}:
            whole.setdefault(name, i)
        for name in {rest, _in_r(rest), item, _in_r(item)}:
            alone.setdefault(name, []).append(i)
        if item in campaign.asked:
            asked.setdefault(campaign.asked[item], []).append(i)
    return _Names(whole, {n: tuple(found) for n, found in alone.items()}, {d: tuple(f) for d, f in asked.items()})


def _in_r(name: str) -> str:
    """Return what R's make.names, which read.csv uses, makes of a name: X17 of 17."""
    found = _NO_NAME.sub(".", name)
    return f"X{found}" if re.match(r"\d|_|\.\d", found) else found


def _found(key: ItemKey, names: _Names, path: Path) -> int | None:
    if key.task and (exact := names.whole.get(f"{key.task}/{key.item}")) is not None:
        return exact
    if key.content and len(same := names.asked.get(key.content, ())) == 1:
        return same[0]
    if key.task and not _only_one_task(names):
        return None
    found = names.alone.get(key.item, ())
    if len(found) > 1:
        raise FitnessError(
            f"{path}: item {key.item[:60]!r} may be one of several tasks': say whose items these are, --bank "
            f"TASK={path.name}"
        )
    return found[0] if found else None


def _only_one_task(names: _Names) -> bool:
    return len({name.rpartition("/")[0] for name in names.whole}) == 1


def _measure(bank: Bank, campaign: CampaignItems, task: str, places: Mapping[int, int]) -> str:
    """Return the bank's measure that is the task's own, or its only one."""
    wanted = campaign.measures[task]
    keys = {key for place, key in places.items() if campaign.task_of(campaign.items[place]) == task}
    held = dict.fromkeys(
        measure
        for of_model in bank.answers.values()
        for measure, scores in of_model.items()
        if not keys.isdisjoint(scores)
    )
    # What is counted with a minus here stands in files without it.
    for name in (wanted, wanted.removeprefix("-"), SCORE, *([next(iter(held))] if len(held) == 1 else [])):
        if name in held and not (name != SCORE and wanted.startswith("-")):
            return name
    raise FitnessError(
        f"{bank.path}, task {task!r}: expected answers measured by {wanted!r}, found {', '.join(held)[:200] or 'none'}"
    )
