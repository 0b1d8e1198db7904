"""How long a candidate may take: a multiple of what others took before it, for as many items."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from statistics import median

from fitness.scores import Budget

_ENOUGH = 5  # candidates whose median says something
_NEWEST = 101  # the merges of a search change as it goes on
LEAST_S = 60.0  # what a busy disk or a first compilation may cost any candidate


class Deadlines:
    """Learns from the candidates that were scored.

    Args:
        first_s: the deadline of the first ones, in seconds; inf: none.
        medians: later ones have so many times the median; None: all have that of the first ones.
    """

    def __init__(self, first_s: float, medians: float | None) -> None:
        self._first_s, self._medians = first_s, medians
        self._took: defaultdict[int, deque[float]] = defaultdict(lambda: deque(maxlen=_NEWEST))

    def note(self, budget: Budget, seconds: float) -> None:
        """Take in how long a candidate took that was scored."""
        self._took[_size(budget)].append(seconds)

    def seconds(self, budget: Budget) -> float:
        """Return how long a candidate may take."""
        took = self._took.get(_size(budget), ())
        if self._medians is None or len(took) < _ENOUGH or math.isinf(self._first_s):
            return self._first_s
        return max(LEAST_S, self._medians * median(took))


def _size(budget: Budget) -> int:
    return -1 if budget.items is None else len(budget.items)
