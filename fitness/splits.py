"""Which items are for searching, which for choosing, which for the final word.

An item's split depends on what it asks and on the seed, on nothing else: not on its id, its line, its task's name or
the items beside it. So an added item moves no other, and equal items fall into one split wherever they stand. The price
is that sizes are drawn as well: of n items about n p fall into a split of share p, give or take sqrt(n p (1 - p)).
Items of a group are drawn by its name instead, so that all are in one split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np

from fitness.errors import FitnessError
from fitness.scores import SPLITS, Budget, Split

# by_content: each item by what it asks, whatever its group; by_place: by the task's name and the items' numbers. As
# evomerge drew splits before, for searches that began so.
Drawn: TypeAlias = Literal["by_group", "by_content", "by_place"]


@dataclass(frozen=True)
class Splits:
    """Items by split, each split in the campaign's seeded order."""

    # split -> its item ids, `task/item`. Tasks alternate in proportion to their sizes, so any first part of a split
    # holds every task's share, to within one item.
    items: Mapping[Split, tuple[str, ...]]
    _split_of: Mapping[str, Split] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        split_of = {item: split for split, items in self.items.items() for item in items}
        if len(split_of) != sum(map(len, self.items.values())):
            raise FitnessError("splits: expected each item once, found one that is listed twice")
        object.__setattr__(self, "_split_of", split_of)

    @classmethod
    def draw(
        cls,
        tasks: Mapping[str, Mapping[str, str]],
        *,
        shares: Mapping[Split, float],
        seed: int,
        drawn_by: Mapping[str, str] = MappingProxyType({}),
    ) -> Splits:
        """Draw each item's split by what it asks, or by its group.

        Args:
            tasks: task name -> its items: id within the task -> what it asks, as `fitness.tasks.contents` has it.
            shares: split -> chance of an item to be in it, in [0, 1], together at most 1; what is over is left out.
            seed: the campaign's.
            drawn_by: item, `task/item` -> what its split is drawn by instead of what it asks, the same for all of a
                group (see `fitness.tasks.groups`).

        Raises:
            FitnessError: the shares are not of this form, or a task has no item in one of the splits.

        >>> tasks = {"words": {str(i): f"What rhymes with word {i}?" for i in range(100)}}
        >>> splits = Splits.draw(tasks, shares={"search": 0.5, "test": 0.5}, seed=0)
        >>> len(splits.items["search"]), len(splits.items["test"])
        (53, 47)
        """
        _check_shares(shares)
        of_task: dict[str, dict[Split, list[str]]] = {}
        for task, contents in tasks.items():
            order = {item: _draws(content, seed)[1] for item, content in contents.items()}
            asked = {item: drawn_by.get(f"{task}/{item}", content) for item, content in contents.items()}
            place = {drawn: _draws(drawn, seed)[0] for drawn in asked.values()}
            of_task[task] = {split: [] for split, share in shares.items() if share > 0.0}
            for item in sorted(order, key=lambda item: (order[item], item)):
                if split := _split_at(place[asked[item]], shares):
                    of_task[task][split].append(item)
            grouped = f" in {len(place)} groups" if any(f"{task}/{item}" in drawn_by for item in contents) else ""
            _check_no_split_is_empty(task, of_task[task], n_items=f"{len(contents)} items{grouped}", shares=shares)
        return cls(_alternating(of_task, {task: _stream(task, seed) for task in tasks}))

    @classmethod
    def draw_by_place(cls, tasks: Mapping[str, Sequence[str]], *, shares: Mapping[Split, float], seed: int) -> Splits:
        """Split every task's ids by exact shares, as evomerge did before it split by content.

        A task's split depends on the seed, its name up to a colon and its ids in their order: an id more moves others.

        Raises:
            FitnessError: the shares are not of `draw`'s form, or a task has too few items for its splits.
        """
        _check_shares(shares)
        of_task: dict[str, dict[Split, list[str]]] = {}
        streams = {task: _stream(task, seed) for task in tasks}
        for task, ids in tasks.items():
            shuffled, start = [ids[i] for i in streams[task].permutation(len(ids))], 0
            of_task[task] = {}
            for split, size in _sizes(task, len(ids), shares).items():
                of_task[task][split] = shuffled[start : start + size]
                start += size
        return cls(_alternating(of_task, streams))

    def beginning_with(self, first: Mapping[Split, Sequence[str]]) -> Splits:
        """Return these splits, each with further items before its own; empty ones stay empty."""
        return Splits({split: (*first.get(split, ()), *own) if own else own for split, own in self.items.items()})

    def with_signals(self, signals: Mapping[str, str]) -> Splits:
        """Return these splits, in that to search by each item followed by its signal, where it has one."""
        beside = [(item, *([signals[item]] if item in signals else [])) for item in self.items.get("search", ())]
        return Splits({**self.items, "search": tuple(item for pair in beside for item in pair)})

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Every item of every split, split after split."""
        return tuple(item for split in SPLITS for item in self.items.get(split, ()))

    def select(self, budget: Budget) -> tuple[str, ...]:
        """Return the budget's items, after a check that all are of its split, each once."""
        items = self.items.get(budget.split, ()) if budget.items is None else budget.items
        if not items:
            raise FitnessError(f"budget: expected items of split {budget.split!r}, found none")
        for item in items:
            split = self._split_of.get(item)
            if split != budget.split:
                found = f"one of split {split!r}" if split else "one that is in no split"
                raise FitnessError(f"budget: expected items of split {budget.split!r}, found {item!r}, {found}")
        if len(set(items)) != len(items):
            raise FitnessError("budget: expected each item once, found one that is listed twice")
        return items

    def split_of(self, items: Sequence[str]) -> Split:
        """Return the one split that all these items belong to."""
        found = {self._split_of.get(item) for item in items}
        split = found.pop() if len(found) == 1 else None
        if split is None:
            listed = sorted(map(str, found)) or "unknown or no items"
            raise FitnessError(f"items: expected all from one split, found {listed}")
        return split


def _draws(content: str, seed: int) -> tuple[float, int]:
    """Return an item's place in [0, 1), which its split is read from, and an independent number to shuffle by."""
    digest = hashlib.sha256(f"{seed}\n{content}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48, int.from_bytes(digest[6:22])


def _split_at(place: float, shares: Mapping[Split, float]) -> Split | None:
    """Return the split whose part of [0, 1) a place lies in; None beyond them all."""
    end = 0.0
    for split in SPLITS:
        end += shares.get(split, 0.0)
        if place < end:
            return split
    return None


def _check_no_split_is_empty(
    task: str, of_split: Mapping[Split, Sequence[str]], *, n_items: str, shares: Mapping[Split, float]
) -> None:
    for split, items in of_split.items():
        if not items:
            raise FitnessError(
                f"task {task!r}: expected an item in each of {', '.join(of_split)}, found none of its {n_items} in "
                f"{split} (share {shares[split]:g}; each item's split is drawn by what it asks, or by its group): "
                f"add items, give {split} a larger share or 0, or take another seed"
            )


def _stream(task: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(task.partition(":")[0].encode()).digest()  # a stream that no other task shares
    return np.random.default_rng(np.random.SeedSequence([seed, int.from_bytes(digest[:16])]))


def _alternating(
    of_task: Mapping[str, Mapping[Split, Sequence[str]]], streams: Mapping[str, np.random.Generator]
) -> dict[Split, tuple[str, ...]]:
    """Return each split with its tasks in turns, each as often as it has items; these stay in their order."""
    used = [split for split in SPLITS if split != "final" or any(of_split.get(split) for of_split in of_task.values())]
    keyed: dict[Split, list[tuple[float, str, str]]] = {split: [] for split in used}
    for task, of_split in of_task.items():
        for split in used:
            items = of_split.get(split, ())
            if items:
                offset, n = streams[task].random(), len(items)
                keyed[split] += [((j + offset) / n, task, f"{task}/{item}") for j, item in enumerate(items)]
    return {split: tuple(item for _, _, item in sorted(keys)) for split, keys in keyed.items()}


def _check_shares(shares: Mapping[Split, float]) -> None:
    for split, share in shares.items():
        if split not in SPLITS:
            raise FitnessError(f"splits: expected {', '.join(SPLITS)}, found {split!r}")
        if not 0.0 <= share <= 1.0:
            raise FitnessError(f"splits.{split}: expected a share from 0 to 1, found {share}")
    total = sum(shares.values())
    if not 0.0 < total <= 1.0 + 1e-9:
        raise FitnessError(f"splits: expected shares that add up to at most 1, found {total:g}")


def _sizes(task: str, n_items: int, shares: Mapping[Split, float]) -> dict[Split, int]:
    """Return each split's number of items: its share, rounded so that the total is right (largest remainder).

    A split with a share gets at least one item.
    """
    wanted = {split: shares[split] for split in SPLITS if shares.get(split, 0.0) > 0.0}
    if n_items < len(wanted):
        raise FitnessError(
            f"task {task!r}: expected at least {len(wanted)} items, one per split ({', '.join(wanted)}), "
            f"found {n_items}: add items, or leave a split out"
        )
    total = round(n_items * sum(wanted.values()))
    sizes = {split: max(1, int(n_items * share + 1e-9)) for split, share in wanted.items()}
    while sum(sizes.values()) < total:
        neediest = max(wanted, key=lambda split: n_items * wanted[split] - sizes[split])
        sizes[neediest] += 1
    while sum(sizes.values()) > n_items:
        richest = max(wanted, key=lambda split: sizes[split] - n_items * wanted[split] if sizes[split] > 1 else -np.inf)
        sizes[richest] -= 1
    return sizes
