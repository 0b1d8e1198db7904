"""A candidate answers its items block after block, until it is done or a rival is out of reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from fitness.errors import FitnessError
from fitness.racing import Lost, RaceRules
from fitness.scores import Budget, ItemScores

if TYPE_CHECKING:
    from torch import nn


@runtime_checkable
class BlockwiseFitness(Protocol):
    """A fitness that can be stopped between blocks of items (`fitness.tasks.suite.TaskSuite`)."""

    def evaluate_in_blocks(self, model: nn.Module, budget: Budget, *, ends: Sequence[int]) -> Iterator[ItemScores]:
        """Yield the scores of the budget's items, a block at a time; they end after so many items."""
        ...


@dataclass(frozen=True)
class Raced:
    """How far a candidate came.

    Attributes:
        scores: of all the budget's items, or of the first of them; what was known counts among them.
        lost: why it was stopped; None where it was not.
    """

    scores: ItemScores
    lost: Lost | None = None


def open_items(budget: Budget) -> Budget:
    """Return the budget of what is left to answer, without rivals.

    Raises:
        FitnessError: what is known is not of the first items.
    """
    if budget.known is None:
        return Budget(budget.split, budget.items)
    n = len(budget.known.item_ids)
    if budget.items is None or budget.items[:n] != budget.known.item_ids:
        raise FitnessError("budget.known: expected scores of the first of budget.items in their order, found others")
    return Budget(budget.split, budget.items[n:])


def block_ends(budget: Budget, rules: RaceRules) -> list[int]:
    """Return after how many of `open_items(budget)` a candidate is looked at; the budget has rivals."""
    n_known = 0 if budget.known is None else len(budget.known.item_ids)
    items = budget.rivals[0].item_ids if budget.items is None else budget.items
    return [look - n_known for look in rules.looks(len(items), n_known)]


def joined(parts: Sequence[ItemScores | None]) -> ItemScores:
    """Return scores of items that follow each other as one; None adds nothing."""
    known = [part for part in parts if part is not None]
    if len(known) == 1:
        return known[0]
    items = tuple(item for part in known for item in part.item_ids)
    return ItemScores(items, np.concatenate([part.values for part in known]) if known else np.empty(0))


def run_race(blocks: Iterable[ItemScores], budget: Budget, rules: RaceRules) -> Raced:
    """Take blocks until none is left or the candidate has lost; after the last of its rivals' items nobody loses.

    Args:
        blocks: scores of `open_items(budget)`, in their order.
        budget: with rivals.
        rules: of the race.
    """
    race = rules.race(budget.rivals)
    n_all = len(budget.rivals[0].item_ids)
    parts = [budget.known]
    for block in blocks:
        parts.append(block)
        scores = joined(parts)
        lost = race.judge(scores) if len(scores.item_ids) < n_all else None
        if lost is not None:
            return Raced(scores, lost)
    return Raced(joined(parts))


def run_races(
    evaluate: Callable[[Sequence[int], Budget], Sequence[ItemScores | FitnessError]],
    n: int,
    budget: Budget,
    rules: RaceRules,
) -> list[Raced | FitnessError]:
    """Race n candidates at once: each block is answered by those who are left.

    Args:
        evaluate: scores some of them, named by their places, on a block.
        n: how many candidates.
        budget: of each of them, with rivals.
        rules: of the race.

    Returns:
        In the order of the candidates, what `run_race` returns or what is wrong with a candidate.
    """
    race = rules.race(budget.rivals)
    all_items = budget.rivals[0].item_ids
    items = open_items(budget).items or all_items
    done: dict[int, Raced | FitnessError] = {}
    running: dict[int, ItemScores | None] = dict.fromkeys(range(n), budget.known)
    for start, end in pairwise([0, *block_ends(budget, rules)]):
        block = Budget(budget.split, items[start:end])
        places = list(running)
        for place, scored in zip(places, evaluate(places, block), strict=True) if places else ():
            if isinstance(scored, FitnessError):
                done[place] = scored
                del running[place]
                continue
            scores = running[place] = joined([running[place], scored])
            lost = race.judge(scores) if len(scores.item_ids) < len(all_items) else None
            if lost is not None:
                done[place] = Raced(scores, lost)
                del running[place]
    done |= {place: Raced(joined([scores])) for place, scores in running.items()}
    return [done[place] for place in range(n)]
