"""Which genomes were asked and which outcomes came back: the bookkeeping that all cube optimisers share."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Outcome
from evomerge.optimisers.errors import OptimiserError


def proposals_of(outcomes: Sequence[Outcome], *, asked: int, pending: Container[int]) -> list[int]:
    """Return the proposal number of each outcome, after checking them all.

    Args:
        outcomes: what the optimiser is told, in any order.
        asked: how many genomes the optimiser has handed out so far.
        pending: the proposals that still wait for their outcome.

    Raises:
        OptimiserError: an outcome belongs to no proposal, to one never asked, or to one told before.
    """
    numbers: list[int] = []
    seen: set[int] = set()
    for outcome in outcomes:
        proposal = outcome.candidate.proposal
        if proposal is None:
            raise OptimiserError(f"tell: expected proposals, found candidate {outcome.candidate.number}, a landmark")
        if not 0 <= proposal < asked:
            raise OptimiserError(f"tell: expected a proposal below {asked}, found {proposal}, which was never asked")
        if proposal in seen or proposal not in pending:
            raise OptimiserError(f"tell: expected each proposal once, found {proposal} again")
        seen.add(proposal)
        numbers.append(proposal)
    return numbers


class Generation:
    """Genomes that an optimiser makes at once, hands out one by one, and learns from together.

    Args:
        genomes: (n, dim) in [0, 1]; copied.
        first: the proposal number of the first of them.
    """

    def __init__(self, genomes: NDArray[np.float64], *, first: int) -> None:
        self._genomes = np.array(genomes, dtype=np.float64)
        self._genomes.flags.writeable = False
        self._first = first
        self._handed_out = 0
        self._outcomes: dict[int, Outcome] = {}
        self._pending: set[int] = set()

    @property
    def genomes(self) -> NDArray[np.float64]:
        """Return all of them, (n, dim) read-only."""
        return self._genomes

    @property
    def end(self) -> int:
        """Return the proposal number that follows the last of this generation."""
        return self._first + len(self._genomes)

    @property
    def complete(self) -> bool:
        """Return whether every genome was handed out and its outcome received."""
        return len(self._outcomes) == len(self._genomes)

    def hand_out(self, n: int) -> list[NDArray[np.float64]]:
        """Return the next genomes, at most n; read-only (dim,) views."""
        start = self._handed_out
        genomes = list(self._genomes[start : start + max(n, 0)])
        self._handed_out += len(genomes)
        self._pending.update(self._first + i for i in range(start, self._handed_out))
        return genomes

    def receive(self, outcomes: Sequence[Outcome]) -> None:
        """Keep outcomes of this generation, in any order; all of them or, after an error, none.

        Raises:
            OptimiserError: see `proposals_of`.
        """
        numbers = proposals_of(outcomes, asked=self._first + self._handed_out, pending=self._pending)
        self._outcomes.update(zip(numbers, outcomes, strict=True))
        self._pending.difference_update(numbers)

    def in_order(self) -> list[Outcome]:
        """Return the outcomes in the order of the proposals, whatever order they came in."""
        return [self._outcomes[number] for number in sorted(self._outcomes)]
