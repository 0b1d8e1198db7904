"""Rotation: every few generations the items change, so that a search does not fit itself to the first ones.

Whom the next generation is compared with, its rivals and what the optimiser remembers, is scored on the new items
before it is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Done, Scored
from fitness.scores import Budget


class Rotation:
    """Which items are in use, and who is being scored on the next ones.

    Args:
        archive: keeps the scores of those who are done before the others.
        items: all search items in their order.
        n_items: how many of them a candidate has.
        every: generations after which the next ones take their place, cyclically; None: never.
    """

    def __init__(self, archive: Archive, items: Sequence[str] = (), n_items: int = 0, every: int | None = None) -> None:
        self._archive = archive
        self._items = tuple(items)
        self._n_items = n_items
        self._every = every
        self._generation: int | None = None
        self._begun = 0  # generations
        self._turns = 0
        self._measuring = False
        self._waiting: dict[int, Candidate] = {}
        self._done: dict[int, Done] = {}

    @property
    def due(self) -> bool:
        """Whether the items change before the next generation."""
        return self._every is not None and self._begun // self._every > self._turns

    @property
    def running(self) -> bool:
        """Whether somebody is being scored on the next items."""
        return bool(self._waiting)

    @property
    def next_items(self) -> tuple[str, ...]:
        """The items of the next generations."""
        start = (self._turns + 1) * self._n_items
        return tuple(self._items[(start + i) % len(self._items)] for i in range(self._n_items))

    def enter(self, generation: int | None) -> None:
        """Count generations as their candidates are asked."""
        if generation != self._generation:
            self._generation = generation
            self._begun += 1

    def start(self, elites: Sequence[Candidate]) -> list[Candidate]:
        """Begin to score candidates on the next items; return those that the archive has no scores of."""
        self._measuring = True
        items, held = self.next_items, self._archive.held()
        for elite in elites:
            record = held.get(elite.number)
            if record is not None and record.scores is not None and record.scores.item_ids == items:
                self._done[elite.number] = Scored(elite, record.scores, record.seconds)
            else:
                self._waiting[elite.number] = elite
        return list(self._waiting.values())

    def budget(self, number: int) -> Budget | None:
        """Return the next items for one that is being scored on them; None for others."""
        return Budget("search", self.next_items) if number in self._waiting else None

    def take(self, arrived: Sequence[Done]) -> list[Done]:
        """Keep those that were scored on the next items; return the others."""
        mine = [done for done in arrived if self._waiting.pop(done.candidate.number, None) is not None]
        scored = [done for done in mine if isinstance(done, Scored)]
        if scored:
            self._archive.told([(done, None) for done in scored], kind="held")
        self._done |= {done.candidate.number: done for done in mine}
        return [done for done in arrived if done not in mine]

    def complete(self) -> list[Done] | None:
        """Return everybody in the order of their numbers once all are scored; None before, and after."""
        if self._waiting or not self._measuring:
            return None
        done, self._done, self._measuring = [done for _, done in sorted(self._done.items())], {}, False
        return done

    def turn(self) -> tuple[str, ...]:
        """Take the next items into use, and return them."""
        items = self.next_items
        self._turns += 1
        return items
