"""Ways to find the best of some candidates, each with the number of item evaluations that it takes.

All candidates answer the items of a draw in the same order, and what a candidate has answered is never asked again.
Better means a higher macro-average over the tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.reduction.draws import Draw

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
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

    A single finalist needs no more items. `estimates`: number of items -> (n_candidates,) estimates from so many.
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
