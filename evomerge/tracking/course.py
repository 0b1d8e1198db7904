"""What is told of a search, step by step, and of its front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evomerge import pareto
from evomerge.archive import Archive
from evomerge.candidate import Candidate
from evomerge.results.front import read_front
from evomerge.results.genes import NotedGenes
from fitness.costs import natural
from fitness.scores import Estimate

MOST_IN_A_VOLUME = 4  # objectives; a hypervolume costs O(n ** m)


@dataclass
class Course:
    """What has been told so far.

    Attributes:
        genes: what a candidate's numbers mean.
        step: how many candidates were told, failures included.
        failures: how many of them failed.
        best: the highest mean of those that answered all of their items; -inf before the first.
        front: (n, m) scores of those that no other dominates, accuracies alone, each in [0, 1].
    """

    genes: NotedGenes
    step: int = 0
    failures: int = 0
    best: float = -math.inf
    front: list[list[float]] = field(default_factory=list)

    def told(self, candidate: Candidate, estimate: Estimate | None, seconds: float) -> Mapping[str, float]:
        """Return the values of the next step; no estimate: the candidate failed."""
        self.step += 1
        self.failures += estimate is None
        values = {"candidate": float(candidate.number), "failures": float(self.failures), "seconds": seconds}
        if estimate is not None:
            for one in estimate.objectives:
                values[f"objective/{one.name}"] = natural(one.value, one.cost)
                values[f"stderr/{one.name}"] = one.stderr
            values["mean"] = estimate.mean
            if estimate.stopped is None:
                self._enlarge(estimate)
        if math.isfinite(self.best):
            values["best mean"] = self.best
        if self.front and len(self.front[0]) in range(2, MOST_IN_A_VOLUME + 1):
            values["hypervolume"] = _hypervolume(self.front)
        for name, value in self.genes.values(candidate.genome).items():
            if isinstance(value, int | float):
                values[f"gene/{name}"] = float(value)
        return {name: value for name, value in values.items() if math.isfinite(value)}

    def _enlarge(self, estimate: Estimate) -> None:
        self.best = max(self.best, estimate.mean)
        scores = [one.value for one in estimate.counting if one.cost is None]
        if scores:
            found = np.array([*self.front, scores])
            self.front = found[pareto.front(found)].tolist()


def _hypervolume(front: Sequence[Sequence[float]]) -> float:
    """Return the share of the box from 0 to 1 that some accuracies dominate."""
    import moocore

    return float(moocore.hypervolume(-np.array(front), ref=np.zeros(len(front[0]))))


def front_rows(archive: Archive) -> tuple[list[str], list[list[str | float | None]]]:
    """Return the front as a table: candidate, label, objectives and their standard errors, mean, picks."""
    found = read_front(archive)
    objectives = [o.name for o in found.points[0].estimate.objectives] if found.points else []
    picks: dict[int, list[str]] = {}
    for pick, number in found.picks.chosen.items():
        picks.setdefault(number, []).append(pick)
    columns = ["candidate", "label", *objectives, *(f"{name} stderr" for name in objectives), "mean", "picks"]
    rows: list[list[str | float | None]] = [
        [
            point.candidate.number,
            point.candidate.label or "",
            *(natural(o.value, o.cost) for o in point.estimate.objectives),
            *(o.stderr for o in point.estimate.objectives),
            point.estimate.mean,
            ", ".join(picks.get(point.candidate.number, ())),
        ]
        for point in found.points
    ]
    return columns, rows
