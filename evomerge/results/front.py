"""The Pareto front of a campaign: a query on its archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.archive import Archive
from evomerge.campaign.constraints import Constraints
from evomerge.campaign.start_points import references
from evomerge.candidate import Candidate
from evomerge.pareto import constrained_front
from evomerge.results.picks import PickError, Picks, picks_among
from evomerge.results.predicted_front import read_prediction
from evomerge.results.recorded import remarks
from evomerge.results.screen_agreement import read_screen_agreement
from evomerge.results.selected import expected, judged
from evomerge.results.work import by_place
from fitness.scores import Estimate, ObjectiveEstimate, Stopped
from search_spaces.recipes.recipe import Recipe


@dataclass(frozen=True)
class FrontPoint:
    """A candidate that no other dominates on search items."""

    candidate: Candidate
    estimate: Estimate
    # by how much constraints are missed, summed over them; above 0 only where no candidate keeps them all
    violation: float = 0.0
    # what `estimate` is expected to be on further items: shrunk for having been picked among many
    expected: Estimate | None = None

    @property
    def likely(self) -> Estimate:
        """What picks go by: what is expected, where that is known."""
        return self.estimate if self.expected is None else self.expected

    @property
    def recipe(self) -> Recipe:
        """The merge."""
        return self.candidate.recipe

    def objective(self, name: str) -> ObjectiveEstimate:
        """Return one objective by name."""
        for objective in self.estimate.objectives:
            if objective.name == name:
                return objective
        names = [o.name for o in self.estimate.objectives]
        raise PickError(f"pick: expected best:OBJECTIVE with one of {names}, found {name!r}")


@dataclass(frozen=True)
class CampaignFront:
    """What `evomerge pareto` shows."""

    evaluations: int  # candidates told, failures included
    failures: int  # how many of them failed
    # the front, landmarks included, best first objective first; of the feasible candidates, or where there is none
    # of those that violate least
    points: tuple[FrontPoint, ...]
    infeasible: int = 0  # how many candidates that were scored whole miss a constraint
    stopped: Mapping[int, Stopped] = field(default_factory=dict)  # candidate -> why it did not answer all of its items
    constraints: Constraints = field(default_factory=Constraints)  # what they are measured by
    notes: tuple[str, ...] = ()  # lines about the archive and the constraints
    picks: Picks = field(default_factory=Picks)
    picked: Mapping[int, FrontPoint] = field(default_factory=dict)  # candidate -> the points, and picks beside them

    # parents, baselines and the best recipes by hand that are not on the front
    references: tuple[FrontPoint, ...] = ()

    @property
    def feasible(self) -> bool:
        """Whether the points keep all constraints; true where there are none."""
        return all(point.violation == 0.0 for point in self.points)

    @property
    def knee(self) -> FrontPoint:
        """What the pick `knee` names; PickError where nothing does (see `Picks`)."""
        return self.picked[self.picks["knee"]]


def read_front(archive: Archive) -> CampaignFront:
    """Return the front of everything scored on search items, each candidate by its estimate on the most items."""
    records = judged(archive)
    scored = [(r, r.estimate) for r in records if r.estimate is not None]
    constraints = Constraints.of(archive)
    violations = np.array([constraints.violation(estimate) for _, estimate in scored], dtype=np.float64)
    missed = np.array([constraints.missed(estimate) for _, estimate in scored if estimate.stopped is None])
    stopped = {record.number: estimate.stopped for record, estimate in scored if estimate.stopped is not None}
    larger = archive.rescored()
    scored = [(record, larger.get(record.number, estimate)) for record, estimate in scored]
    points = _points(archive, [(r.number, estimate) for r, estimate in scored], violations)
    observed = {record.number: estimate for record, estimate in scored}
    likely = expected(archive, observed)
    points = [replace(point, expected=likely[point.candidate.number]) for point in points]
    points.sort(key=lambda p: ([-o.value for o in p.estimate.objectives], p.candidate.number))
    known = {r.number: float(v) for (r, _), v in zip(scored, violations, strict=True)}
    least = violations.min(initial=np.inf)
    picks = picks_among(archive, {n: likely[n] for n, v in known.items() if v <= least}, n_told=len(records))
    by_number = {point.candidate.number: point for point in points}
    beside = [c for c in references(archive) if c.number in known and c.number not in by_number]
    candidates = archive.candidates_of((set(picks.chosen.values()) & known.keys()) - by_number.keys())
    return CampaignFront(
        len(records),
        len(records) - len(scored),
        tuple(points),
        infeasible=int(np.count_nonzero(missed)),
        stopped=stopped,
        constraints=constraints,
        notes=(*remarks(archive), *constraints.described(missed)),
        picks=picks,
        picked={n: FrontPoint(c, observed[n], known[n], likely[n]) for n, c in candidates.items()} | by_number,
        references=tuple(FrontPoint(c, observed[c.number], known[c.number], likely[c.number]) for c in beside),
    )


def _points(
    archive: Archive, scored: Sequence[tuple[int, Estimate]], violations: NDArray[np.float64]
) -> list[FrontPoint]:
    """Return the front of those whose recipes can be read; the archive names the others."""
    unreadable: set[int] = set()
    while True:
        kept = [i for i, (number, _) in enumerate(scored) if number not in unreadable]
        values = np.array([[o.value for o in scored[i][1].counting] for i in kept])
        efficient = [kept[i] for i in constrained_front(values, violations[kept]).tolist()] if kept else []
        found = archive.candidates_of([scored[i][0] for i in efficient])
        unreadable |= {scored[i][0] for i in efficient} - found.keys()
        if len(found) == len(efficient):
            return [FrontPoint(found[scored[i][0]], scored[i][1], float(violations[i])) for i in efficient]


def front_as_json(archive: Archive, name: str) -> dict[str, Any]:
    """Return what `evomerge pareto --json` prints."""
    found = read_front(archive)
    prediction, screen = read_prediction(archive), read_screen_agreement(archive)
    return {
        "campaign": name,
        "evaluations": found.evaluations,
        "failures": found.failures,
        "workers": by_place(archive.works()),
        "infeasible": found.infeasible,
        "feasible": found.feasible,
        "stopped": [{"candidate": number, **asdict(stopped)} for number, stopped in found.stopped.items()],
        "constraints": [
            {"objective": bound.objective, "at_least": threshold, "written": str(bound)}
            for bound, threshold in found.constraints.thresholds.items()
        ],
        "front": [
            {
                "candidate": point.candidate.number,
                "label": point.candidate.label,
                "objectives": {
                    o.name: {"value": o.value, "stderr": o.stderr, "split": point.estimate.split}
                    | {"items": o.n_items, "kind": o.kind, "weight": o.weight}
                    | ({} if o.cost is None else {"cost": o.cost})
                    for o in point.estimate.objectives
                },
                "expected": {o.name: {"value": o.value, "stderr": o.stderr} for o in point.likely.objectives},
                "violation": point.violation,
                "recipe": point.candidate.recipe.to_dict(),
            }
            for point in found.points
        ],
        "picks": found.picks.as_json(),
        **({"notes": list(found.notes)} if found.notes else {}),
        **({} if prediction is None else {"predicted": prediction.as_json()}),
        **({} if screen is None else {"screen": screen.as_json()}),
    }
