"""Thresholds of a tensor's magnitudes: each searched when it is asked for, and all at once where many are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

import numpy as np

from search_spaces.merging.kept_numbers import Keeping, Nowhere
from search_spaces.merging.recent import Recent
from search_spaces.merging.trim_tables import SORTED_UP_TO, TrimTable
from search_spaces.operators.kernels.counting import Magnitudes
from search_spaces.operators.kernels.threshold import Trim, trim_of
from search_spaces.operators.memory import Steps

# Thresholds that are no table's: some 200 bytes each.
_MOST_SINGLE = 200_000

# A table of 256 thresholds takes as long as 20 to 30 searches (50 against 2 ns an element). Campaigns ask for one or
# two, where a landmark trims, or for hundreds, where densities are searched: the third makes the table.
SEARCHED_BEFORE_A_TABLE = 2


class TrimCache:
    """`threshold.trim_of`, remembered: one search for each threshold, or a table of 256 or a few times as many.

    A threshold of a table takes 8 bytes. Those of large tensors are kept where numbers are kept, for other processes.

    One cache serves one set of opened parents. A key stands for the magnitudes; the caller promises that equal keys
    mean equal magnitudes. A threshold between the table's is found by one pass over the magnitudes.
    """

    def __init__(self, kept: Keeping | None = None) -> None:
        self._kept: Keeping = Nowhere() if kept is None else kept
        self._tables: dict[Hashable, TrimTable] = {}
        self._single: Recent[Trim] = Recent(_MOST_SINGLE)
        self._searched: Counter[Hashable] = Counter()

    def trim(self, key: Hashable, magnitudes: Magnitudes, k: int, n: int, *, steps: Steps) -> Trim:
        """Return what keeps the k largest of n magnitudes, k in [1, n]; see `MergeMemory.trim`."""
        table = self._tables.get(key)
        if table is None:
            return self._single.get((key, k), lambda: self._first(key, magnitudes, k, n, steps))
        found = table.at(k)
        return self._single.get((key, k), lambda: table.between(magnitudes, n, k)) if found is None else found

    def _first(self, key: Hashable, magnitudes: Magnitudes, k: int, n: int, steps: Steps) -> Trim:
        """Return a threshold that is asked for the first time."""
        table = self._table(key, magnitudes, n, steps)
        if table is None:
            return self._searched_for(key, magnitudes, k, n)
        return table.at(k) or table.between(magnitudes, n, k)

    def _table(self, key: Hashable, magnitudes: Magnitudes, n: int, steps: Steps) -> TrimTable | None:
        """Return the table of small tensors, and of those that have one on disk or were searched often enough."""
        known = self._searched.get(key, -1)
        if n <= SORTED_UP_TO:
            found: TrimTable | None = TrimTable.of(magnitudes, n, steps)
        elif 0 <= known < SEARCHED_BEFORE_A_TABLE:
            return None
        else:  # the first time, or now that it pays; another process may have made it meanwhile
            self._searched[key] += 0
            found = TrimTable.from_numbers(self._kept.find(("table", key)), n, steps)
            if found is None and known > 0:
                found = TrimTable.of(magnitudes, n, steps)
                self._kept.add(("table", key), found.numbers)
        if found is not None:
            self._tables[key] = found
        return found

    def _searched_for(self, key: Hashable, magnitudes: Magnitudes, k: int, n: int) -> Trim:
        numbers = self._kept.find(("trim", key, k))
        if numbers is not None and len(numbers) == 2:
            return Trim(float(numbers[0]), int(numbers[1]))
        self._searched[key] += 1
        found = trim_of(magnitudes, n, k)
        self._kept.add(("trim", key, k), np.array(found, dtype=np.float64))
        return found
