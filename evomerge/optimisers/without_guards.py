"""Guards, objectives of weight 0, decide nothing but by their constraints: optimisers are not told of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evomerge.archive import Archive
from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.protocol import Optimiser, gain_left
from fitness.estimation import Objective
from fitness.scores import ItemScores

NOTE = "guards"


class WithoutGuards:
    """Tells an optimiser of outcomes what they are without guards; implements `Optimiser`.

    Args:
        own: knows no guards.
        items: that no objective but guards has.
    """

    def __init__(self, own: Optimiser[Any], items: Collection[str]) -> None:
        self._own, self._items = own, frozenset(items)
        self.wants_landmarks: bool = getattr(own, "wants_landmarks", False)

    @property
    def own(self) -> object:
        """The optimiser that proposes."""
        return getattr(self._own, "own", self._own)

    def ask(self, n: int) -> Sequence[Any]:
        """Return its genomes."""
        return self._own.ask(n)

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Pass on what counts."""
        self._own.tell([self._counting(one) if isinstance(one, Evaluation) else one for one in outcomes])

    def gain_left(self) -> float | None:
        """Return what it expects to gain."""
        return gain_left(self._own)

    def _counting(self, one: Evaluation) -> Evaluation:
        scores = one.scores
        kept = np.array([item not in self._items for item in scores.item_ids], dtype=bool)
        ids = tuple(item for item, is_kept in zip(scores.item_ids, kept, strict=True) if is_kept)
        estimate = replace(one.estimate, objectives=one.estimate.counting)
        return replace(one, estimate=estimate, scores=ItemScores(ids, scores.values[kept]))


def guards_of(objectives: Sequence[Objective]) -> frozenset[str]:
    """Return the names of those of weight 0, where others weigh more."""
    guards = frozenset(objective.name for objective in objectives if objective.weight == 0)
    return guards if len(guards) < len(objectives) else frozenset()


def without_guards(
    optimiser: Optimiser[Any], objectives: Sequence[Objective], task_of: Mapping[str, str]
) -> Optimiser[Any]:
    """Return an optimiser that is not told of guards, by item -> task; itself where there are none."""
    guards = guards_of(objectives)
    if not guards:
        return optimiser
    counting = {task for objective in objectives if objective.name not in guards for task in objective.tasks}
    return WithoutGuards(optimiser, [item for item, task in task_of.items() if task not in counting])


def tells_guards(archive: Archive, objectives: Sequence[Objective]) -> bool:
    """Return whether the optimiser of a search is told of guards: one that began in an older evomerge goes on so.

    A search that begins now records that it is not.
    """
    if not guards_of(objectives):
        return False
    if not archive.n_candidates:
        archive.note(NOTE, "untold")
    return archive.noted(NOTE) is None
