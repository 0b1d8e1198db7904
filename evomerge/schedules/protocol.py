"""The protocol of a schedule: what a candidate answers next, and who may be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Done, Scored
from fitness.protocols import Estimator
from fitness.scores import Budget, Estimate

if TYPE_CHECKING:
    from fitness.screening import Screening


class Schedule(Protocol):
    """Decides what each candidate answers next and who may be told.

    What it decides depends on scores alone, never on who finished first, so that completion order does not move a
    generational optimiser. What it has to know after a kill it commits to the archive before it takes effect.
    """

    def items(self, candidate: Candidate) -> Budget:
        """Return what a pending candidate answers next."""
        ...

    def arrived(self, done: Sequence[Done]) -> Sequence[Done]:
        """Take in what workers returned, and return what may be told now; the others wait. Failures never wait."""
        ...

    def advance(self) -> tuple[Sequence[Scored], Sequence[Candidate]]:
        """Decide about those who wait, now that nobody else is on the way.

        Returns:
            Those who go no further, with the estimate that they are told with, and those who answer more. Both are
            empty where nobody waits.
        """
        ...

    def restore(self, pending: Sequence[Candidate]) -> Sequence[Candidate]:
        """Come to the state in which the archive was left; return those of the pending who have to be scored."""
        ...


@dataclass(frozen=True, eq=False)
class ScheduleContext:
    """What a campaign makes its schedule of.

    Attributes:
        archive: keeps what waits.
        budget: everything that a candidate may have to answer.
        items: the same, listed.
        estimator: makes the campaign's estimates.
        task_of: item id -> task name.
        weights: objective name -> weight, where their weighted mean is maximised; None: a search of the front.
        missed: estimate -> by how much it misses constraints, at least 0.
        screening: compares candidates with the experts; None without a screen.
        own: how many of the items a candidate answers where it answers items of its own; None: all of them.
        seed: of the campaign.
        bound_by: labels of landmarks that constraints are measured by.
        with_costs: questions -> these, and the items that measure what they cost; only where a candidate answers items
            of its own: `items` are questions alone then.
        told_of_all: whether who is stopped is told with what is expected on all items, not with what a part gave.
    """

    archive: Archive
    budget: Budget
    items: tuple[str, ...]
    estimator: Estimator
    task_of: Mapping[str, str]
    weights: Mapping[str, float] | None
    missed: Callable[[Estimate], float]
    screening: Screening | None = None
    own: int | None = None
    seed: int = 0
    bound_by: frozenset[str] = frozenset()
    with_costs: Callable[[Sequence[str]], tuple[str, ...]] = tuple
    told_of_all: bool = False
