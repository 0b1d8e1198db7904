"""An optimiser that proposes one by one, where a schedule stops candidates early.

A schedule decides about those who wait once nobody else is on the way, which is never where an optimiser proposes
without an end; and who was stopped has answered fewer items than the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evomerge.candidate import Evaluation, Failure, Outcome
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import proposals_of
from evomerge.optimisers.protocol import Optimiser, gain_left
from fitness.estimation.unequal_items import filled
from fitness.scores import ItemScores

_MOST = 200  # evaluations that say how hard items are, the newest


class InGenerations:
    """Proposes so many candidates, then waits for all of them and lets the optimiser learn from them in their order.

    One that compares item by item is told of those that were stopped early what they would have on all items: their own
    answers, and where there is none what is expected by how good they were beside others on the same items, and how
    hard the item was for others (`fitness.estimation.unequal_items.filled`). That they were stopped is no other
    disadvantage. Who was set aside without an answer, or stopped before anybody answered everything, is told as one
    that failed. Any other optimiser is told of them as they are.

    Args:
        own: the optimiser; a function of the calls made to it, as all are.
        size: candidates of a generation, at least 1; fewer where the optimiser waits by itself.
        known: evaluations that it was built with, whose answers tell of items as well.
        by_item: whether it compares candidates item by item.
    """

    def __init__(
        self, own: Optimiser[Any], size: int, known: Sequence[Evaluation] = (), *, by_item: bool = True
    ) -> None:
        if size < 1:
            raise OptimiserError(f"generation: expected at least 1 candidate, found {size}")
        self.own, self._size, self._room, self._by_item = own, size, size, by_item
        self._asked = 0
        self._pending: set[int] = set()
        self._outcomes: list[Outcome] = []
        self._whole: list[ItemScores] = []
        self._note_whole(known)

    def ask(self, n: int) -> Sequence[Any]:
        """Return genomes of this generation; none while one of it is open that no more join."""
        if self._room and n > 0:
            genomes = self.own.ask(min(n, self._room))
            self._room = self._room - len(genomes) if len(genomes) else 0
            self._pending.update(range(self._asked, self._asked + len(genomes)))
            self._asked += len(genomes)
            if len(genomes):
                return genomes
        return self.ask(n) if n > 0 and self._learnt() else []

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Keep outcomes until the generation is complete."""
        self._pending.difference_update(proposals_of(outcomes, asked=self._asked, pending=self._pending))
        self._outcomes += outcomes

    def gain_left(self) -> float | None:
        """Return what the optimiser expects to gain."""
        return gain_left(self.own)

    def _learnt(self) -> bool:
        """Tell a generation that is complete; return whether there was one."""
        if self._room or self._pending or not self._outcomes:
            return False
        outcomes = sorted(self._outcomes, key=lambda outcome: outcome.candidate.number)
        self._outcomes, self._room = [], self._size
        if not self._by_item:
            self.own.tell(outcomes)
            return True
        self._note_whole([one for one in outcomes if isinstance(one, Evaluation)])
        parts = [one for one in outcomes if isinstance(one, Evaluation) and one.estimate.stopped is not None]
        filled_in = dict(zip((one.candidate.number for one in parts), self._filled(parts), strict=True))
        self.own.tell([filled_in.get(one.candidate.number, one) for one in outcomes])
        return True

    def _note_whole(self, evaluations: Sequence[Evaluation]) -> None:
        self._whole += [one.scores for one in evaluations if one.estimate.stopped is None]
        del self._whole[:-_MOST]

    def _filled(self, parts: Sequence[Evaluation]) -> list[Outcome]:
        items = self._whole[-1].item_ids if self._whole else ()
        known = [scores.values for scores in self._whole if scores.item_ids == items]
        place = {item: i for i, item in enumerate(items)}
        answered = [bool(items) and bool(one.scores.item_ids) for one in parts]
        rows = np.full((len(parts), len(items)), np.nan)
        for row, one in zip(rows, parts, strict=True):
            for item, value in zip(one.scores.item_ids, one.scores.values.tolist(), strict=True):
                if item in place:
                    row[place[item]] = value
        answers = np.concatenate([rows, np.array(known).reshape(len(known), len(items))])
        tasks = np.array([item.partition("/")[0] for item in items])
        for task in dict.fromkeys(tasks.tolist()):
            own = tasks == task
            some = np.isfinite(answers[:, own]).any(axis=1)
            answers[np.ix_(some, own)] = filled(answers[np.ix_(some, own)])
        return [
            _as_whole(one, items, row) if known_of and np.isfinite(row).all() else _set_aside(one)
            for one, row, known_of in zip(parts, answers, answered, strict=False)
        ]


def _as_whole(one: Evaluation, items: tuple[str, ...], row: np.ndarray) -> Evaluation:
    assert one.estimate.stopped is not None
    missed = one.violation - one.estimate.stopped.shortfall
    return replace(one, scores=ItemScores(items, row), violation=missed if missed > 1e-9 else 0.0)


def _set_aside(one: Evaluation) -> Failure:
    return Failure(one.candidate, "evaluate", "it was stopped before it could be compared item by item")
