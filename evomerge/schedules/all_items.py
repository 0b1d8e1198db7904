"""Every candidate answers everything at once."""

from __future__ import annotations

from collections.abc import Sequence

from evomerge.candidate import Candidate, Done, Scored
from fitness.scores import Budget

SEARCH = Budget("search")


class AllItems:
    """Nobody waits; implements `Schedule`.

    Args:
        budget: what every candidate answers: all search items, or some of them.
    """

    def __init__(self, budget: Budget = SEARCH) -> None:
        self._budget = budget

    def items(self, candidate: Candidate) -> Budget:
        """Return the whole budget."""
        del candidate
        return self._budget

    def arrived(self, done: Sequence[Done]) -> Sequence[Done]:
        """Return all of them."""
        return done

    def advance(self) -> tuple[Sequence[Scored], Sequence[Candidate]]:
        """Return nobody: nobody waits."""
        return (), ()

    def restore(self, pending: Sequence[Candidate]) -> Sequence[Candidate]:
        """Return all of them."""
        return pending
