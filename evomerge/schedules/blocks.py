"""Blocks of items, one for each candidate: every item stands in nearly as many blocks as every other.

A task's items are shuffled and dealt out, shuffled again when they run out, as in an alpha design of randomised blocks
(Patterson and Williams, Biometrika 63, 1976; John and Williams, Cyclic and Computer Generated Designs, 1995): after
any number of blocks two items of a task differ by at most one in how often they were dealt, and pairs of items meet as
chance has it, which costs next to nothing beside a balanced design (`tests/evomerge/schedules/test_blocks.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from evomerge.seeds import stream

Order = NDArray[np.intp]


class Blocks:
    """Any number of blocks of some items; the i-th one depends on the seed, the items and i, and on nothing else.

    Every block has the same number of a task's items: the task's share, to within one item, and one at least.

    >>> task_of = {"a/1": "a", "a/2": "a", "a/3": "a", "a/4": "a", "b/1": "b"}
    >>> blocks = Blocks(list(task_of), task_of, 3, seed=0, name="own items")
    >>> sorted(blocks.of(0) + blocks.of(1))
    ['a/1', 'a/2', 'a/3', 'a/4', 'b/1', 'b/1']

    Args:
        items: what is dealt out, at least one.
        task_of: item -> task.
        size: items per block, from the number of tasks to that of the items.
        seed: of the shuffles, at least 0.
        name: tells apart what is dealt out of the same items by the same seed.
    """

    def __init__(self, items: Sequence[str], task_of: Mapping[str, str], size: int, *, seed: int, name: str) -> None:
        self._items = tuple(items)
        places: dict[str, list[int]] = {}
        for place, item in enumerate(self._items):
            places.setdefault(task_of[item], []).append(place)
        if not len(places) <= size <= len(self._items):
            found = f"{size} items per block of {len(self._items)} items in {len(places)} tasks"
            raise ValueError(f"size: expected at least one of every task and at most all items, found {found}")
        of_task = shares({task: len(own) for task, own in places.items()}, size)
        self._deals = [
            (np.array(own), _Deal(len(own), of_task[task], seed, (name, task))) for task, own in places.items()
        ]

    def of(self, index: int) -> tuple[str, ...]:
        """Return the items of a block, counted from 0, in the order of all items."""
        places = np.sort(np.concatenate([own[deal.block(index)] for own, deal in self._deals]))
        return tuple(self._items[place] for place in places.tolist())


def shares(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Return how many of a total fall to each task: in proportion to its size, at least one, at most all it has."""
    found = dict.fromkeys(sizes, 1)
    share = total / sum(sizes.values())
    for _ in range(total - len(sizes)):
        open_to_more = [task for task in sizes if found[task] < sizes[task]]
        found[max(open_to_more, key=lambda task: sizes[task] * share - found[task])] += 1
    return found


class _Deal:
    """Deals n of N things again and again, each round of all of them in another order."""

    def __init__(self, n_all: int, n: int, seed: int, names: tuple[str, ...]) -> None:
        self._n_all = n_all
        # More than half are dealt by what is left out: then no block reaches over more than two rounds, and the end of
        # a round is never moved, so that a round depends on the one before it alone.
        self._leaves_out = 2 * n > n_all
        self._n = n_all - n if self._leaves_out else n
        self._shuffled = lru_cache(maxsize=4)(partial(_shuffled, n_all, seed, names))

    def block(self, index: int) -> Order:
        """Return n different numbers below N."""
        dealt = self._dealt(index) if self._n else np.empty(0, dtype=np.intp)
        return np.setdiff1d(np.arange(self._n_all), dealt) if self._leaves_out else dealt

    def _dealt(self, index: int) -> Order:
        round_, first = divmod(index * self._n, self._n_all)
        order, last = self._order(round_), first + self._n
        if last <= self._n_all:
            return order[first:last]
        return np.concatenate([order[first:], self._order(round_ + 1)[: last - self._n_all]])

    def _order(self, round_: int) -> Order:
        """Return a round's order: what a block that began in the last round lacks comes first."""
        order, carried = self._shuffled(round_), (round_ * self._n_all) % self._n
        if not carried:
            return order
        last = self._shuffled(round_ - 1)[-carried:]
        head = order[~np.isin(order, last)][: self._n - carried]
        return np.concatenate([head, order[~np.isin(order, head)]])


def _shuffled(n_all: int, seed: int, names: tuple[str, ...], round_: int) -> Order:
    return stream(seed, *names, str(round_)).permutation(n_all)
