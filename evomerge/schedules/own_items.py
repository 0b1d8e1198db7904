"""Every candidate answers items of its own, so that all of them together answer every item.

Where all candidates answer the same few items, whatever learns from them ends at the best merge for these few. With
items of its own each candidate says something of other items, and a model of genes and items together makes one picture
of it (`evomerge.results.pooled`, the optimiser `bayes`). Plain means of different items are noisier than those of the
same ones: an optimiser that goes by them pays for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from evomerge.candidate import Candidate, Done, Scored
from evomerge.schedules.blocks import Blocks
from evomerge.schedules.protocol import ScheduleContext
from fitness.scores import Budget

EVERYTHING = Budget("search")


class OwnItems:
    """Deals out the search items; nobody waits. Implements `Schedule`.

    What a candidate answers depends on its number among the proposals and on the seed alone: neither completion order
    nor a kill nor what others answered changes it. Landmarks, which everything is compared with and which say how hard
    items are, answer as many items as several candidates do; one that a constraint is measured by answers all.

    Args:
        given: of the campaign; its `own` is what each candidate answers.
        landmarks: how many candidates' items a landmark answers; None: every search item.
    """

    def __init__(self, given: ScheduleContext, *, landmarks: int | None) -> None:
        n_all = len(given.items)
        size = n_all if given.own is None else given.own
        of_landmark = n_all if landmarks is None else min(n_all, landmarks * size)
        self._bound_by, self._with_costs = given.bound_by, given.with_costs
        self._blocks, self._of_landmarks = (
            Blocks(given.items, given.task_of, n, seed=given.seed, name=name)
            for n, name in ((size, "own items"), (of_landmark, "items of landmarks"))
        )

    def items(self, candidate: Candidate) -> Budget:
        """Return the items that are dealt to a candidate."""
        if candidate.proposal is not None:
            return Budget("search", self._with_costs(self._blocks.of(candidate.proposal)))
        if candidate.label in self._bound_by:
            return EVERYTHING
        return Budget("search", self._with_costs(self._of_landmarks.of(candidate.number)))

    def arrived(self, done: Sequence[Done]) -> Sequence[Done]:
        """Return all of them."""
        return done

    def advance(self) -> tuple[Sequence[Scored], Sequence[Candidate]]:
        """Return nobody: nobody waits."""
        return (), ()

    def restore(self, pending: Sequence[Candidate]) -> Sequence[Candidate]:
        """Return all of them."""
        return pending
