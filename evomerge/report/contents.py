"""What a report says, read once from an archive that may still be written to.

Start with `read_contents`. Everything else in this room draws what it returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from evomerge.archive import Archive, Record
from evomerge.campaign.constraints import Constraints
from evomerge.candidate import Candidate
from evomerge.pareto import constrained_front, knee
from evomerge.verification.held_out_constraints import noted_constraints
from evomerge.verification.result import Verification
from fitness.scores import Estimate
from search_spaces.recipe import ParentSource

# A pause longer than the candidate took, plus this, is a search that stood still (it was resumed later).
_OVERHEAD_S = 10.0


@dataclass(frozen=True, eq=False)
class Scored:
    """Every candidate with an estimate on search items, in the order in which they were told.

    Attributes:
        objectives: (m,) names.
        numbers: (n,) candidates' numbers.
        values: (n, m), higher is better.
        stderrs: (n, m), at least 0.
        estimated: (n,) whether a candidate's objectives rest on a part of the search items.
        violations: (n,) by how much constraints are missed, at least 0; 0 is feasible.
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


@dataclass(frozen=True)
class FailureGroup:
    """Candidates that failed for one reason."""

    stage: str
    reason: str
    numbers: tuple[int, ...]
    traceback: str


@dataclass(frozen=True, eq=False)
class Contents:
    """Everything a report shows, recipes and per-task scores apart.

    Attributes:
        campaign: the campaign file's text.
        settings: the same, parsed; empty when it is no mapping.
        landmarks: candidates that no optimiser proposed.
        sources: name -> checkpoint of everything the landmarks read.
        evaluations: outcomes told, failures included.
        began, ended: seconds since the epoch of the first and last outcome; None before the first.
        hours: search time, pauses left out.
        versions: program -> version that the campaign recorded.
        constraints: lines about what candidates must keep, and whether the winner does on held-out items.
    """

    campaign: str
    settings: Mapping[str, Any]
    landmarks: tuple[Candidate, ...]
    sources: Mapping[str, ParentSource]
    scored: Scored
    failures: tuple[FailureGroup, ...]
    evaluations: int
    began: float | None
    ended: float | None
    hours: float
    versions: Mapping[str, str]
    verification: Verification | None
    constraints: tuple[str, ...]

    @property
    def name(self) -> str:
        """The campaign's name."""
        return str(self.settings.get("name") or "campaign")

    @property
    def n_failures(self) -> int:
        """How many candidates failed."""
        return sum(len(group.numbers) for group in self.failures)

    @property
    def parents(self) -> tuple[int, ...]:
        """The numbers of the landmarks that are one parent alone."""
        return tuple(c.number for c in self.landmarks if c.label in c.recipe.parents)

    @property
    def best_parent(self) -> int | None:
        """The index (in `scored`) of the parent with the highest mean on search items; None when none is scored."""
        scored = [i for i in map(self.scored.index, self.parents) if i is not None]
        return max(scored, key=lambda i: float(self.scored.means[i])) if scored else None

    def title(self, number: int) -> str:
        """Return what a candidate is called: its landmark's name or its number."""
        return next((c.label for c in self.landmarks if c.number == number and c.label), f"candidate {number}")


def read_contents(archive: Archive) -> Contents:
    """Read an archive."""
    records = archive.records("search")
    hours = _search_hours(records)
    landmarks = tuple(archive.landmarks())
    campaign = archive.campaign
    noted = archive.noted("verification")
    constraints = Constraints.of(archive)
    scored = _scored(records, hours, constraints, archive.rescored())
    return Contents(
        campaign=campaign,
        settings=campaign_settings(campaign),
        landmarks=landmarks,
        sources={name: source for c in landmarks for name, source in c.recipe.parents.items()},
        scored=scored,
        failures=_failures(records),
        evaluations=len(records),
        began=records[0].at - records[0].seconds if records else None,
        ended=records[-1].at if records else None,
        hours=float(hours[-1]) if records else 0.0,
        versions=recorded_versions(archive),
        verification=None if noted is None else Verification.from_json(noted),
        constraints=(
            *constraints.described(scored.violations),
            *(str(bound) for bound in noted_constraints(archive)),
        ),
    )


def campaign_settings(text: str) -> Mapping[str, Any]:
    """Return the campaign file as a mapping; empty when it is none, for a report must not depend on it."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def recorded_versions(archive: Archive) -> Mapping[str, str]:
    """Return program -> version, as the campaign recorded them."""
    more = campaign_settings(archive.noted("versions") or "")  # JSON is YAML
    return {"evomerge": archive.noted("evomerge") or "unknown", **{str(k): str(v) for k, v in more.items()}}


def new_bests(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the ascending indices of (n,) values that are higher than all before them."""
    if not len(values):
        return np.empty(0, dtype=np.intp)
    before = np.concatenate([[-np.inf], np.maximum.accumulate(values)[:-1]])
    return np.flatnonzero(values > before)


def _scored(
    records: Sequence[Record], hours: NDArray[np.float64], constraints: Constraints, larger: Mapping[int, Estimate]
) -> Scored:
    told = [(i, r.number, r.estimate) for i, r in enumerate(records) if r.estimate is not None]
    violations = np.array([constraints.violation(estimate) for *_, estimate in told], dtype=np.float64)
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
        violations=violations,
        evaluation=order + 1,
        hours=hours[order],
        front=efficient,
        knee=int(efficient[knee(values[efficient])]) if found else None,
    )


def _numbers(estimate: Estimate, field: str) -> list[float]:
    return [float(getattr(objective, field)) for objective in estimate.objectives]


def _search_hours(records: Sequence[Record]) -> NDArray[np.float64]:
    if not records:
        return np.empty(0)
    at = np.array([r.at for r in records])
    seconds = np.array([r.seconds for r in records])
    gaps = np.diff(at, prepend=at[0] - seconds[0])
    return np.asarray(np.cumsum(np.clip(gaps, 0.0, seconds + _OVERHEAD_S)) / 3600)


def _failures(records: Sequence[Record]) -> tuple[FailureGroup, ...]:
    """Group failures by stage and reason, the most frequent first; the newest traceback stands for its group."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.estimate is None:
            groups.setdefault((record.stage or "worker", record.reason or "no reason recorded"), []).append(record)
    found = [
        FailureGroup(stage, reason, tuple(r.number for r in members), members[-1].traceback or "")
        for (stage, reason), members in groups.items()
    ]
    return tuple(sorted(found, key=lambda group: -len(group.numbers)))
