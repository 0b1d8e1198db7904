"""A run as it stood at one moment: what every page draws on, read once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evomerge.archive import Archive, Record
from evomerge.campaign.progress import ENDING
from evomerge.candidate import Candidate, Work
from evomerge.results.genes import NotedGenes
from evomerge.results.predicted_front import Prediction, read_prediction
from evomerge.results.report.contents import Contents, read_contents
from evomerge.results.report.details import candidate_marks
from evomerge.results.selected import judged
from fitness.costs import COSTS, natural
from fitness.scores import ObjectiveEstimate

State = Literal["told", "failed", "stopped", "pending"]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What an archive knew when it was read."""

    contents: Contents
    candidates: tuple[Candidate, ...]  # all that were asked, in order
    records: Mapping[int, Record]  # candidate -> its outcome on search items, of those that have one
    genes: NotedGenes
    prediction: Prediction | None
    ending: str | None  # why the last session ended; empty while it goes on, or where it was killed
    works: Mapping[int, Work]  # candidate -> where it was scored, of those of which that was kept
    ours: bool  # whether the user began it, so that files that it names may be shown

    @cached_property
    def marks(self) -> Mapping[int, list[str]]:
        """Candidate -> what distinguishes it, in words."""
        return candidate_marks(self.contents)

    @cached_property
    def objectives(self) -> list[dict[str, Any]]:
        """How every objective is shown, in the campaign's order."""
        scored = self.contents.scored
        told = zip(scored.objectives, scored.costs, scored.counting.tolist(), scored.weights.tolist(), strict=True)
        return [
            {
                "name": name,
                "unit": "" if cost is None else COSTS[cost].unit,
                "better": "more is better" if cost is None else COSTS[cost].better,
                "lower": cost is not None,
                "decimals": 3 if cost is None else COSTS[cost].decimals,
                "counts": counts,
                "weight": weight,
            }
            for name, cost, counts, weight in told
        ]

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The (n, m) objectives of what was scored as people read them: a cost as what it is."""
        return self.contents.scored.values * self._signs

    @cached_property
    def _signs(self) -> NDArray[np.float64]:
        return np.array([1.0 if cost is None else -1.0 for cost in self.contents.scored.costs])

    def state(self, number: int) -> State:
        """Return what became of a candidate."""
        record = self.records.get(number)
        if record is None:
            return "pending"
        if record.estimate is None:
            return "failed"
        return "told" if record.estimate.stopped is None else "stopped"

    def title(self, number: int) -> str:
        """Return what a candidate is called."""
        return self.contents.title(number)


def read_snapshot(archive: Archive, *, ours: bool = False) -> Snapshot:
    """Read an archive, which may still be written to."""
    candidates = tuple(archive.candidates())
    records = judged(archive)
    contents = read_contents(archive, records)
    return Snapshot(
        contents=contents,
        candidates=candidates,
        records={record.number: record for record in records},
        genes=NotedGenes.read(archive),
        prediction=read_prediction(archive),
        ending=archive.noted(ENDING),
        works=dict(archive.works()),
        ours=ours,
    )


def shown(objective: ObjectiveEstimate, *, limits: bool = True) -> dict[str, Any]:
    """Return an objective's value, standard error and 95 % limits as people read them."""
    from fitness.statistics.rare_events import limits_of_objective

    cost = objective.cost
    found = {"value": number(natural(objective.value, cost)), "stderr": number(objective.stderr)}
    if limits:
        ends = (number(natural(end, cost)) for end in limits_of_objective(objective))
        found["low"], found["high"] = sorted(ends, key=lambda end: math.nan if end is None else end)
    return found | {"items": objective.n_items, "kind": objective.kind}


def number(value: float) -> float | None:
    """Return a number with as many digits as a page can use; None where JSON has none."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def numbers(values: NDArray[np.float64] | Sequence[float]) -> list[float | None]:
    """Return the same of many."""
    return [number(value) for value in np.asarray(values, dtype=np.float64).ravel().tolist()]
