"""Every candidate with an estimate on search items, as arrays: what figures and tables draw on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evomerge.archive import Record
from evomerge.campaign.constraints import Constraints
from evomerge.pareto import constrained_front, knee
from fitness.scores import Estimate, Stopped


@dataclass(frozen=True, eq=False)
class Scored:
    """Every candidate with an estimate on search items, in the order in which they were told.

    Attributes:
        objectives: (m,) names.
        numbers: (n,) candidates' numbers.
        values: (n, m), higher is better.
        stderrs: (n, m), at least 0.
        estimated: (n,) whether a candidate's objectives rest on a part of the search items.
        stops: (n,) why a candidate did not answer all of its items; None where it did.
        violations: (n,) by how much constraints and rivals are missed, at least 0; 0 for feasible ones scored whole.
        evaluation: (n,) how many outcomes had been told, this one included.
        hours: (n,) search time when it was told, pauses between resumed sessions left out.
        front: (n_front,) indices of nondominated feasible candidates, best first objective first; where none is
            feasible, of those that violate least.
        knee: index of the front's knee; None when nothing is scored.
    """

    objectives: tuple[str, ...]
    numbers: NDArray[np.int64]
    values: NDArray[np.float64]
    stderrs: NDArray[np.float64]
    estimated: NDArray[np.bool_]
    stops: tuple[Stopped | None, ...]
    violations: NDArray[np.float64]
    evaluation: NDArray[np.int64]
    hours: NDArray[np.float64]
    front: NDArray[np.intp]
    knee: int | None

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Return the (n,) unweighted means of the objectives."""
        return np.asarray(self.values.sum(axis=1) / max(1, len(self.objectives)))

    @cached_property
    def mean_stderrs(self) -> NDArray[np.float64]:
        """Return the (n,) standard errors of the means; objectives rest on different items."""
        return np.asarray(np.sqrt((self.stderrs**2).sum(axis=1)) / max(1, len(self.objectives)))

    @cached_property
    def whole(self) -> NDArray[np.bool_]:
        """Return (n,) whether a candidate answered all of its items."""
        return np.array([stop is None for stop in self.stops], dtype=bool)

    @property
    def label(self) -> str:
        """What follows a quantity's name where not every score is full."""
        if not self.estimated.any():
            return ""
        return " (estimated)" if self.estimated.all() else " (partly estimated)"

    @property
    def best(self) -> int | None:
        """Return the index of the highest mean, feasible candidates first; None when nothing is scored."""
        return int(np.lexsort((-self.means, self.violations))[0]) if len(self.numbers) else None

    def index(self, number: int) -> int | None:
        """Return where a candidate stands; None when it was not scored."""
        found = np.flatnonzero(self.numbers == number)
        return int(found[0]) if len(found) else None


def read_scored(
    records: Sequence[Record], hours: NDArray[np.float64], constraints: Constraints, larger: Mapping[int, Estimate]
) -> Scored:
    """Return what was scored.

    Args:
        records: (n_told,) outcomes on search items, in the order in which they were told.
        hours: (n_told,) search time of each.
        constraints: of the campaign.
        larger: candidate -> estimate on more items than it was told with.
    """
    told = [(i, r.number, r.estimate) for i, r in enumerate(records) if r.estimate is not None]
    violations = np.array([constraints.violation(estimate) for *_, estimate in told], dtype=np.float64)
    stops = tuple(estimate.stopped for *_, estimate in told)
    found = [(i, number, larger.get(number, estimate)) for i, number, estimate in told]
    names = tuple(o.name for o in found[0][2].objectives) if found else ()
    shape = (len(found), len(names))
    values = np.array([_numbers(estimate, "value") for *_, estimate in found]).reshape(shape)
    efficient = constrained_front(values, violations) if found else np.empty(0, dtype=np.intp)
    efficient = efficient[np.argsort(-values[efficient, 0], kind="stable")] if found else efficient
    order = np.array([i for i, *_ in found], dtype=np.int64)
    return Scored(
        objectives=names,
        numbers=np.array([number for _, number, _ in found], dtype=np.int64),
        values=values,
        stderrs=np.array([_numbers(estimate, "stderr") for *_, estimate in found]).reshape(shape),
        estimated=np.array([estimate.kind == "estimated" for *_, estimate in found], dtype=bool),
        stops=stops,
        violations=violations,
        evaluation=order + 1,
        hours=hours[order],
        front=efficient,
        knee=int(efficient[knee(values[efficient])]) if found else None,
    )


def _numbers(estimate: Estimate, field: str) -> list[float]:
    return [float(getattr(objective, field)) for objective in estimate.objectives]
