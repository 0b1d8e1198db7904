"""How many items the candidates answered, and how many whole evaluation of each would have taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evomerge.archive import Archive

NOTE = "search_items"  # how many there are
SMALLEST_SAVING = 1.02


@dataclass(frozen=True, eq=False)
class ItemsUsed:
    """Items answered in the course of a search, one step an outcome; a candidate scored further has several."""

    candidates: NDArray[np.int64]  # (n_steps,) how many candidates had answered anything
    answered: NDArray[np.int64]  # (n_steps,) how many items they had answered together, each (candidate, item) once
    each: int  # the items of a candidate that answers all of its own
    n_items: int  # all search items; `each` where the archive does not tell

    @property
    def whole(self) -> int:
        """How many items the same candidates would have answered if each had been scored on all search items."""
        return int(self.candidates[-1]) * self.n_items

    @property
    def saving(self) -> float:
        """How many times fewer items were answered than that, at least 1 where nothing is answered twice."""
        return self.whole / int(self.answered[-1])

    @property
    def says_something(self) -> bool:
        """Whether fewer items were answered, so that there is something to show."""
        return self.saving >= SMALLEST_SAVING


def note_search_items(archive: Archive, n_items: int) -> None:
    """Record how many search items there are, for those who read the archive."""
    archive.note(NOTE, str(n_items))


def read_items_used(archive: Archive) -> ItemsUsed | None:
    """Return what an archive's candidates answered on search items; None where nobody answered any."""
    known: dict[int, tuple[str, ...]] = {}
    candidates, answered, each, total = [], [], 0, 0
    for number, item_ids in archive.answered("search"):
        before = known.get(number, ())
        known[number] = tuple(dict.fromkeys((*before, *item_ids))) if before else item_ids
        each = each if before else max(each, len(item_ids))
        total += len(known[number]) - len(before)
        candidates.append(len(known))
        answered.append(total)
    if not candidates:
        return None
    n_items = archive.parsed(NOTE, int, damaged="skip") or each
    return ItemsUsed(np.array(candidates), np.array(answered), each, max(each, n_items))
