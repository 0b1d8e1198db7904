"""Which items are for searching, which for choosing, which for the final word."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fitness.errors import FitnessError
from fitness.scores import SPLITS, Budget, Split


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
    def draw(cls, tasks: Mapping[str, Sequence[str]], *, shares: Mapping[Split, float], seed: int) -> Splits:
        """Split every task's items by the same shares.

        A task's split depends on the seed, its name up to a colon and its items, not on the other tasks: measures of
        the same items, `words` and `words:margin`, are split alike, so that no test item is another's search item.

        >>> splits = Splits.draw({"words": ["1", "2", "3", "4"]}, shares={"search": 0.5, "test": 0.5}, seed=0)
        >>> len(splits.items["search"]), len(splits.items["test"])
        (2, 2)

        Args:
            tasks: task name -> ids of its items within the task.
            shares: split -> share of each task's items, each in [0, 1], together at most 1; what is over is left out.
            seed: the campaign's.

        Raises:
            FitnessError: the shares are not of this form, or a task has too few items for its splits.
        """
        _check_shares(shares)
        keyed: dict[Split, list[tuple[float, str, str]]] = {split: [] for split in SPLITS}
        for task, ids in tasks.items():
            digest = hashlib.sha256(task.partition(":")[0].encode()).digest()  # a stream that no other task shares
            rng = np.random.default_rng(np.random.SeedSequence([seed, int.from_bytes(digest[:16])]))
            shuffled = [ids[i] for i in rng.permutation(len(ids))]
            start = 0
            for split, size in _sizes(task, len(ids), shares).items():
                offset = rng.random()
                part = shuffled[start : start + size]
                keyed[split] += [((j + offset) / size, task, f"{task}/{item}") for j, item in enumerate(part)]
                start += size
        return cls({split: tuple(item for _, _, item in sorted(keys)) for split, keys in keyed.items()})

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
