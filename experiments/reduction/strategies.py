"""Ways to find the best of some candidates, each with the number of item evaluations that it takes.

All candidates answer the items of a draw in the same order, and what a candidate has answered is never asked again.
Better means a higher macro-average over the tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.reduction.draws import Draw
from fitness.estimators import Objective
from fitness.racing import Race, RaceRules
from fitness.scores import ItemScores

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
DELTA = 0.05
FINALISTS = 10


class Pick(NamedTuple):
    """What a search ends with: a candidate of the draw, and the item evaluations that it took."""

    candidate: int
    evaluations: int


def best_of(draw: Draw, n: int, estimates: Floats) -> Pick:
    """Take the candidate with the highest of (n_candidates,) estimates from n items; n = all: full evaluation."""
    return Pick(int(estimates.argmax()), n * len(draw.rows))


def best_finalist(draw: Draw, n: int, estimates: Floats) -> Pick:
    """Score the ten highest of (n_candidates,) estimates from n items on all items, and take the best of those."""
    finalists = np.argsort(-estimates, kind="stable")[:FINALISTS]
    best = int(finalists[draw.means(draw.n_items, finalists).argmax()])
    return Pick(best, n * len(draw.rows) + (draw.n_items - n) * len(finalists))


def halving(draw: Draw, n: int, estimates: Callable[[int], Floats], *, finalists: int = 1) -> Pick:
    """Halve the candidates and double their items, n at first, until `finalists` are left; score these on all items.

    A single finalist needs no more items.

    Args:
        draw: the search.
        n: items at first.
        estimates: number of items -> (n_candidates,) estimates from so many, of which those still in the race are used.
        finalists: at least 1.
    """
    alive = np.arange(len(draw.rows))
    evaluations, answered = n * len(alive), n
    while len(alive) > finalists and answered < draw.n_items:
        order = np.argsort(-estimates(answered)[alive], kind="stable")
        alive = alive[order[: max(finalists, len(alive) // 2)]]
        n = min(2 * answered, draw.n_items) if len(alive) > finalists else draw.n_items
        if len(alive) > 1:
            evaluations, answered = evaluations + (n - answered) * len(alive), n
    return Pick(int(alive[estimates(answered)[alive].argmax()]), evaluations)


def race(draw: Draw, n: int, *, first_look: int) -> list[Pick]:
    """Score candidates on n items one after the other, each against the best so far; looks are those of `RaceRules`.

    The pick is the best of those that were not stopped.

    Returns:
        What the search would end with after each candidate.
    """
    return _raced(draw, range(len(draw.rows)), n=n, known=0, first_look=first_look)


def race_best_first(draw: Draw, known: int, estimates: Floats) -> Pick:
    """Race on all items as `race` does, in the order of (n_candidates,) estimates from items answered before.

    Those items, `known` of them, count as evaluations and in the race; the first look is at them.
    """
    order = np.argsort(-estimates, kind="stable").tolist()
    return _raced(draw, order, n=draw.n_items, known=known, first_look=known)[-1]


def _raced(draw: Draw, order: Sequence[int], *, n: int, known: int, first_look: int) -> list[Pick]:
    track = _Track(draw, n, first_look)
    means = draw.means(n)
    best, evaluations = order[0], known * len(order) + (n - known)
    picks = [Pick(best, evaluations)]
    for candidate in order[1:]:
        answered = track.answered(candidate, rival=best)
        evaluations += answered - known
        if answered == n and means[candidate] > means[best]:
            best = candidate
        picks.append(Pick(best, evaluations))
    return picks


class _Track:
    """The races of one draw, as a campaign that maximises the mean of its tasks has them, each with one rival."""

    def __init__(self, draw: Draw, n: int, first_look: int) -> None:
        self._items, self._scores = draw.items[:n], draw.scores[:, :n]
        task_of = {item: item.split("/")[0] for item in self._items}
        tasks = tuple(dict.fromkeys(task_of.values()))
        objectives = tuple(Objective(task, (task,)) for task in tasks)
        weights = dict.fromkeys(tasks, 1.0)
        self._rules = RaceRules(objectives, task_of, weights=weights, delta=DELTA, first_look=first_look)
        self._races: dict[int, Race] = {}

    def answered(self, candidate: int, *, rival: int) -> int:
        """Return after how many items a candidate stops; all of them if it does not."""
        if rival not in self._races:
            self._races[rival] = self._rules.race([ItemScores(self._items, self._scores[rival])])
        for n in self._rules.looks(len(self._items))[:-1]:
            if self._races[rival].judge(ItemScores(self._items[:n], self._scores[candidate, :n])) is not None:
                return n
        return len(self._items)
