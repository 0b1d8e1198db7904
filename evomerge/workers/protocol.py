"""The protocols of the workers: one that scores a candidate, and a pool of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from evomerge.candidate import Candidate, Done
from evomerge.errors import EvomergeError
from fitness.scores import Budget


class WorkerSetupError(EvomergeError, RuntimeError):
    """The workers cannot be started; the message says what was asked for, what was found, and what to do."""


class ClusterLostError(EvomergeError, RuntimeError):
    """The workers are gone and none comes back; everything told before is in the archive."""


class CandidateWorker(Protocol):
    """Merges one candidate and scores it."""

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        """Return the item scores, or the failure; never raises because of a candidate."""
        ...

    def evaluate_together(self, candidates: Sequence[Candidate], budget: Budget) -> list[Done]:
        """Return what `evaluate` returns for each candidate; what candidates have in common may be run once."""
        ...


class WorkerPool(Protocol):
    """Scores candidates, several at once where it can."""

    @property
    def free(self) -> int:
        """How many candidates can be submitted before one must be waited for."""
        ...

    @property
    def workers(self) -> int:
        """How many workers score at the same time; 0 when closed."""
        ...

    def submit(self, candidate: Candidate, budget: Budget) -> None:
        """Start scoring a candidate.

        Raises:
            RuntimeError: no worker is free.
        """
        ...

    def wait(self) -> list[Done]:
        """Block until at least one submitted candidate is done, and return all that are.

        Never raises because of a candidate; returns an empty list when nothing was submitted, and when a worker came
        that can be given one.

        Raises:
            ClusterLostError: there are no workers any more.
        """
        ...

    def close(self) -> None:
        """Stop the workers and free what they hold; a second call does nothing."""
        ...
