"""Which genomes were asked and which outcomes came back: the bookkeeping that all cube optimisers share."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError


def proposals_of(outcomes: Sequence[Outcome], *, asked: int, pending: Container[int]) -> list[int]:
    """Return the proposal number of each outcome, after checking that all are among the `pending` of `asked` ones."""
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


def checked_genomes(starts: Sequence[ArrayLike], dim: int, *, most: int | None = None) -> NDArray[np.float64]:
    """Return what a search begins with, (n, dim), after checking that all lie in the cube and are not too many."""
    genomes = np.array(starts, dtype=np.float64) if len(starts) else np.empty((0, dim))
    inside = genomes.shape == (len(starts), dim) and bool(((genomes >= 0.0) & (genomes <= 1.0)).all())
    if not inside or (most is not None and len(starts) > most):
        number = "" if most is None else f"at most {most} "
        raise OptimiserError(f"starts: expected {number}genomes of {dim} numbers in [0, 1], found {starts}")
    return genomes


class Generation:
    """Genomes that an optimiser makes at once, hands out one by one, and learns from together.

    Attributes:
        genomes: (n, dim) in [0, 1], a read-only copy; the first of them is the proposal `first`.
    """

    def __init__(self, genomes: NDArray[np.float64], *, first: int) -> None:
        self.genomes = np.array(genomes, dtype=np.float64)
        self.genomes.flags.writeable = False
        self._first = first
        self._handed_out = 0
        self._outcomes: dict[int, Outcome] = {}
        self._pending: set[int] = set()

    @property
    def end(self) -> int:
        """The proposal number that follows the last of this generation."""
        return self._first + len(self.genomes)

    @property
    def complete(self) -> bool:
        """Whether every genome was handed out and its outcome received."""
        return len(self._outcomes) == len(self.genomes)

    def hand_out(self, n: int) -> list[NDArray[np.float64]]:
        """Return the next genomes, at most n; read-only (dim,) views."""
        start = self._handed_out
        genomes = list(self.genomes[start : start + max(n, 0)])
        self._handed_out += len(genomes)
        self._pending.update(self._first + i for i in range(start, self._handed_out))
        return genomes

    def receive(self, outcomes: Sequence[Outcome], loss: Callable[[Evaluation], object] | None = None) -> bool:
        """Keep outcomes of this generation, in any order, and return whether they complete it.

        All of them are kept or, after an error, none. `loss` raises where there is nothing to learn from an evaluation.
        """
        for outcome in outcomes:
            if loss is not None and isinstance(outcome, Evaluation):
                loss(outcome)
        numbers = proposals_of(outcomes, asked=self._first + self._handed_out, pending=self._pending)
        self._outcomes.update(zip(numbers, outcomes, strict=True))
        self._pending.difference_update(numbers)
        return bool(outcomes) and self.complete

    def in_order(self) -> list[Outcome]:
        """Return the outcomes in the order of the proposals, whatever order they came in."""
        return [self._outcomes[number] for number in sorted(self._outcomes)]
