"""Racing: may a candidate stop before it has answered every item?

A candidate answers the same items in the same order as its rivals. After each block of items it is compared with them,
item by item, by a test that may be looked at as often as one likes. With differences d_i = candidate - rival in [-1, 1]
and the null hypothesis that the candidate is at least as good, E[d] >= 0, every bet

    wealth_n(b) = product over i <= n of (1 - b d_i),    0 < b < 1,

is a supermartingale, and so is the average of several bets. By Ville's inequality it ever exceeds 1 / delta with a
probability of at most delta (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
J. R. Stat. Soc. B 86, 2024, section 4). Items on which both agree do not move it: for right-or-wrong items it is a test
on the discordant ones. Small bets suit small steady differences, as graded scores have, large ones clear cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fitness.errors import FitnessError
from fitness.estimators import Objective, item_shares
from fitness.scores import ItemScores
from fitness.typing import Floats

# Stakes, as shares of what may be lost at most.
BETS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)


@dataclass(frozen=True)
class Lost:
    """Why a candidate need not answer the rest.

    Attributes:
        reason: worse: it is behind a rival in everything, with confidence; hopeless: it stays behind even if it gets
            everything right from here on.
        rival: the place of that rival among the rivals.
        n_items: how many items the candidate has answered.
    """

    reason: Literal["worse", "hopeless"]
    rival: int
    n_items: int


@dataclass(frozen=True)
class RaceRules:
    """How candidates of a campaign race.

    Attributes:
        objectives: in the campaign's order.
        task_of: item id -> task name.
        weights: objective name -> weight, where the search maximises their weighted mean; None where each counts.
        delta: chance that a candidate which no rival beats is stopped, in (0, 1).
        first_look: items before a candidate is looked at first, at least 1.
    """

    objectives: tuple[Objective, ...]
    task_of: Mapping[str, str]
    weights: Mapping[str, float] | None = None
    delta: float = 0.05
    first_look: int = 1

    def looks(self, n: int, known: int = 0) -> list[int]:
        """Return after how many of n items a candidate is looked at, ascending, the last being n.

        Each look comes after twice the items of the one before. Clear cases show early, and the others answer in few,
        large blocks: where answers are generated, several small ones take much longer than a large one.

        Args:
            n: items of the candidate.
            known: how many of them it has answered before.
        """
        looks, at = [], self.first_look
        while at < n:
            looks.append(at)
            at *= 2
        return [look for look in (*looks, n) if look > known]

    def race(self, rivals: Sequence[ItemScores]) -> Race:
        """Return a race over the items of the first rival, in their order."""
        return Race(
            rivals,
            self.objectives,
            task_of=self.task_of,
            items=rivals[0].item_ids,
            delta=self.delta,
            weights=self.weights,
        )


class Race:
    """Decides, block after block, whether a candidate can still matter.

    It stops when one rival is better in every objective: shown by a test at `delta` over the rivals together, so that
    a candidate that no rival dominates is stopped with a probability of at most `delta`, however often one looks; or
    certain whatever the answers to the remaining items. Shown for every objective means shown for the whole, so no
    correction is needed for their number (an intersection-union test); the rivals share delta.

    Args:
        rivals: what the candidate is compared with, each scored on all of the candidate's items or more.
        objectives: what has to be worse.
        task_of: item id -> task name.
        items: the candidate's items in their order; tasks alternate in proportion to their sizes.
        delta: in (0, 1).
        weights: objective name -> weight: only their weighted mean has to be worse. None: each objective.

    Raises:
        FitnessError: a rival lacks an item, delta is out of range, or the objectives do not fit the items.
    """

    def __init__(
        self,
        rivals: Sequence[ItemScores],
        objectives: Sequence[Objective],
        *,
        task_of: Mapping[str, str],
        items: Sequence[str],
        delta: float = 0.05,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        if not 0.0 < delta < 1.0:
            raise FitnessError(f"delta: expected a number in (0, 1), found {delta}")
        self._items = tuple(items)
        self._shares = item_shares(self._items, objectives, task_of)
        if weights is not None:
            self._shares = weighted(self._shares, objectives, weights)
        self._rivals = np.array([self._in_order(rival, i) for i, rival in enumerate(rivals)])
        self._threshold = len(rivals) / delta

    def judge(self, scores: ItemScores) -> Lost | None:
        """Return why the candidate may stop, or None while it may not.

        Args:
            scores: of the first n of the items, in their order.

        Raises:
            FitnessError: the scores are of other items.
        """
        n = len(scores.item_ids)
        if scores.item_ids != self._items[:n]:
            raise FitnessError("racing: expected scores of the race's first items in their order, found others")
        if n == 0:
            return None
        for rival, theirs in enumerate(self._rivals):
            if self._is_hopeless(scores.values, theirs):
                return Lost("hopeless", rival, n)
            if self._is_worse(scores.values - theirs[:n]):
                return Lost("worse", rival, n)
        return None

    def shortfall(self, scores: ItemScores, rival: int) -> float:
        """Return by how much a candidate is behind a rival on the items that it answered, the objectives' mean.

        Above 0 for a race that is lost; items count as in the race, scaled to sum to 1 over the answered ones.

        Args:
            scores: as `judge` takes them, at least one.
            rival: its place among the rivals.
        """
        n = len(scores.item_ids)
        shares = self._shares[:, :n]
        behind = shares @ (self._rivals[rival][:n] - scores.values)
        return float(np.mean(behind / shares.sum(axis=1).clip(min=1e-300)))

    def _is_hopeless(self, mine: Floats, theirs: Floats) -> bool:
        if theirs.min() < 0.0 or theirs.max() > 1.0 or mine.min() < 0.0 or mine.max() > 1.0:
            return False  # scores without bounds leave hope
        best = self._shares[:, : len(mine)] @ mine + self._shares[:, len(mine) :].sum(axis=1)
        return bool((best < self._shares @ theirs - 1e-12).all())

    def _is_worse(self, differences: Floats) -> bool:
        """Return whether the wealth of bets against the candidate is large enough in every objective."""
        if np.abs(differences).max() > 1.0:
            return False
        shares = self._shares[:, : len(differences)]
        # Each objective in units of its heaviest item, so that a bet never risks more than it has.
        stakes = shares / shares.max(axis=1, keepdims=True, initial=1e-300)
        growth = np.log1p(-np.array(BETS)[:, None, None] * (stakes * differences)).sum(axis=2)
        wealth = np.logaddexp.reduce(growth, axis=0) - np.log(len(BETS))
        return bool((wealth >= np.log(self._threshold)).all())

    def _in_order(self, rival: ItemScores, number: int) -> Floats:
        known = dict(zip(rival.item_ids, rival.values.tolist(), strict=True))
        missing = [item for item in self._items if item not in known]
        if missing:
            raise FitnessError(f"rivals[{number}]: expected a score of every item, found none of {missing[0]!r}")
        return np.array([known[item] for item in self._items])


def weighted(rows: Floats, objectives: Sequence[Objective], weights: Mapping[str, float]) -> Floats:
    """Return (1, n): the weighted mean of (n_objectives, n) rows.

    Raises:
        FitnessError: no objective has a weight above 0.
    """
    each = np.array([weights.get(objective.name, 0.0) for objective in objectives])
    if not (each >= 0.0).all() or not each.sum() > 0.0:
        raise FitnessError(f"weights: expected an objective with a weight above 0, found {dict(weights)}")
    return np.asarray((each / each.sum())[None, :] @ rows)
