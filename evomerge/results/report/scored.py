"""Every candidate with an estimate on search items, as arrays: what figures and tables draw on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evomerge.archive import Record
from evomerge.campaign.constraints import Constraints
from evomerge.pareto import constrained_front
from evomerge.typing import Floats
from fitness.costs import Cost, titled
from fitness.scores import Estimate, Stopped, mean_weights


@dataclass(frozen=True, eq=False)
class Axis:
    """One quantity of every scored candidate."""

    name: str
    values: Floats  # (n,)
    stderrs: Floats | None  # (n,); None for a quantity without errors
    cost: Cost | None = None  # what it costs, which `values` are minus of

    @property
    def title(self) -> str:
        """The name, of a cost with unit and direction."""
        return titled(self.name, self.cost)


@dataclass(frozen=True, eq=False)
class Scored:
    """Every candidate with an estimate on search items, in the order in which they were told."""

    numbers: NDArray[np.int64]  # (n,) candidates' numbers
    estimates: tuple[Estimate, ...]  # (n,)
    stops: tuple[Stopped | None, ...]  # (n,) why a candidate did not answer all of its items; None where it did
    # (n,) by how much constraints and rivals are missed, at least 0; 0 for feasible ones scored whole
    violations: Floats
    evaluation: NDArray[np.int64]  # (n,) how many outcomes had been told, this one included
    hours: Floats  # (n,) search time when it was told, pauses between resumed sessions left out
    # (n_front,) indices of nondominated feasible candidates, best first objective first; where none is feasible, of
    # those that violate least
    front: NDArray[np.intp]

    @cached_property
    def objectives(self) -> tuple[str, ...]:
        """The (m,) names."""
        return tuple(o.name for o in self.estimates[0].objectives) if self.estimates else ()

    @cached_property
    def costs(self) -> tuple[Cost | None, ...]:
        """What each of the (m,) objectives costs; None where it is no cost."""
        return tuple(o.cost for o in self.estimates[0].objectives) if self.estimates else ()

    @cached_property
    def values(self) -> Floats:
        """The (n, m) values, higher is better."""
        return self._numbers("value")

    @cached_property
    def stderrs(self) -> Floats:
        """The (n, m) standard errors, at least 0."""
        return self._numbers("stderr")

    @cached_property
    def weights(self) -> Floats:
        """The (m,) weights of the objectives in the mean; they sum to 1."""
        weights = np.array(mean_weights([o.weight for o in self.estimates[0].objectives] if self.estimates else []))
        return np.asarray(weights / max(weights.sum(), 1e-300))

    @cached_property
    def counting(self) -> NDArray[np.bool_]:
        """The (m,) objectives that make the front: all but guards."""
        names = {o.name for o in self.estimates[0].counting} if self.estimates else set()
        return np.array([name in names for name in self.objectives], dtype=bool)

    @cached_property
    def estimated(self) -> NDArray[np.bool_]:
        """(n,) whether a candidate's objectives rest on a part of the search items."""
        return np.array([estimate.kind == "estimated" for estimate in self.estimates], dtype=bool)

    @property
    def several(self) -> bool:
        """Whether there is a front: of several objectives that are no guards."""
        return bool(np.count_nonzero(self.counting) > 1)

    @cached_property
    def means(self) -> Floats:
        """The (n,) means of the objectives by their weights."""
        return np.array([estimate.mean for estimate in self.estimates], dtype=np.float64)

    @cached_property
    def mean_stderrs(self) -> Floats:
        """The (n,) standard errors of the means."""
        return np.array([estimate.mean_stderr for estimate in self.estimates], dtype=np.float64)

    @cached_property
    def whole(self) -> NDArray[np.bool_]:
        """(n,) whether a candidate answered all of its items."""
        return np.array([stop is None for stop in self.stops], dtype=bool)

    @property
    def label(self) -> str:
        """What follows a quantity's name where not every score is full."""
        if not self.estimated.any():
            return ""
        pooled = any(o.kind == "pooled" for estimate in self.estimates for o in estimate.objectives)
        of_part = "estimated" if self.estimated.all() else "partly estimated"
        return f" ({of_part}, pooled)" if pooled else f" ({of_part})"

    @property
    def axes(self) -> list[Axis]:
        """One axis per objective that is no guard."""
        columns = zip(self.objectives, self.values.T, self.stderrs.T, self.costs, self.counting, strict=True)
        return [Axis(name + self.label, *column) for name, *column, counts in columns if counts]

    def index(self, number: int) -> int | None:
        """Return where a candidate stands; None when it was not scored."""
        found = np.flatnonzero(self.numbers == number)
        return int(found[0]) if len(found) else None

    def _numbers(self, kind: Literal["value", "stderr"]) -> Floats:
        found = [[float(getattr(o, kind)) for o in estimate.objectives] for estimate in self.estimates]
        return np.array(found).reshape(len(self.estimates), len(self.objectives))


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
    efficient = np.empty(0, dtype=np.intp)
    if found:
        values = np.array([[o.value for o in estimate.counting] for *_, estimate in found])
        efficient = constrained_front(values, violations)
        efficient = efficient[np.argsort(-values[efficient, 0], kind="stable")]
    order = np.array([i for i, *_ in found], dtype=np.int64)
    return Scored(
        numbers=np.array([number for _, number, _ in found], dtype=np.int64),
        estimates=tuple(estimate for *_, estimate in found),
        stops=stops,
        violations=violations,
        evaluation=order + 1,
        hours=hours[order],
        front=efficient,
    )
