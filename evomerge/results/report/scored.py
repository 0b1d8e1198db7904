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
from evomerge.typing import Floats
from fitness.scores import Estimate, Stopped


@dataclass(frozen=True, eq=False)
class Axis:
    """One quantity of every scored candidate."""

    name: str
    values: Floats  # (n,)
    stderrs: Floats | None  # (n,); None for a quantity without errors


@dataclass(frozen=True, eq=False)
class Scored:
    """Every candidate with an estimate on search items, in the order in which they were told."""

    objectives: tuple[str, ...]  # (m,) names
    numbers: NDArray[np.int64]  # (n,) candidates' numbers
    values: Floats  # (n, m), higher is better
    stderrs: Floats  # (n, m), at least 0
    weights: Floats  # (m,) of the objectives in the mean; they sum to 1
    estimated: NDArray[np.bool_]  # (n,) whether a candidate's objectives rest on a part of the search items
    stops: tuple[Stopped | None, ...]  # (n,) why a candidate did not answer all of its items; None where it did
    # (n,) by how much constraints and rivals are missed, at least 0; 0 for feasible ones scored whole
    violations: Floats
    evaluation: NDArray[np.int64]  # (n,) how many outcomes had been told, this one included
    hours: Floats  # (n,) search time when it was told, pauses between resumed sessions left out
    # (n_front,) indices of nondominated feasible candidates, best first objective first; where none is feasible, of
    # those that violate least
    front: NDArray[np.intp]
    knee: int | None  # index of the front's knee; None when nothing is scored

    @cached_property
    def means(self) -> Floats:
        """The (n,) means of the objectives by their weights."""
        return np.asarray(self.values @ self.weights)

    @cached_property
    def mean_stderrs(self) -> Floats:
        """The (n,) standard errors of the means; objectives rest on different items."""
        return np.asarray(np.sqrt(self.stderrs**2 @ self.weights**2))

    @cached_property
    def whole(self) -> NDArray[np.bool_]:
        """(n,) whether a candidate answered all of its items."""
        return np.array([stop is None for stop in self.stops], dtype=bool)

    @property
    def label(self) -> str:
        """What follows a quantity's name where not every score is full."""
        if not self.estimated.any():
            return ""
        return " (estimated)" if self.estimated.all() else " (partly estimated)"

    @property
    def best(self) -> int | None:
        """The index of the highest mean, feasible candidates first; None when nothing is scored."""
        return int(np.lexsort((-self.means, self.violations))[0]) if len(self.numbers) else None

    @property
    def axes(self) -> list[Axis]:
        """One axis per objective."""
        columns = zip(self.objectives, self.values.T, self.stderrs.T, strict=True)
        return [Axis(name + self.label, values, stderrs) for name, values, stderrs in columns]

    def index(self, number: int) -> int | None:
        """Return where a candidate stands; None when it was not scored."""
        found = np.flatnonzero(self.numbers == number)
        return int(found[0]) if len(found) else None


def read_scored(
    records: Sequence[Record], hours: Floats, constraints: Constraints, larger: Mapping[int, Estimate]
) -> Scored:
    """Return what was scored of (n_told,) outcomes on search items, with the search hours of each.

    `larger` has estimates on more items than candidates were told with.
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
        weights=_weights(found[0][2]) if found else np.empty(0),
        estimated=np.array([estimate.kind == "estimated" for *_, estimate in found], dtype=bool),
        stops=stops,
        violations=violations,
        evaluation=order + 1,
        hours=hours[order],
        front=efficient,
        knee=int(efficient[knee(values[efficient])]) if found else None,
    )


def _weights(estimate: Estimate) -> Floats:
    weights = np.array(_numbers(estimate, "weight"))
    return weights / weights.sum() if weights.any() else np.full(len(weights), 1 / len(weights))


def _numbers(estimate: Estimate, field: str) -> list[float]:
    return [float(getattr(objective, field)) for objective in estimate.objectives]
