"""One search with one seed: what is run, and what it found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import evomerge as em

CAMPAIGN = Path(__file__).parents[1] / "quickstart" / "campaign.yaml"
LANDMARKS = ("best parent", "uniform mean", "default TIES")


@dataclass(frozen=True)
class Run:
    """One search with one seed."""

    search: str
    seed: int
    candidates: int
    hypervolume: float  # of the front on search items, to the origin
    winner: float  # macro-average on test items of the candidate that was picked on validation items
    landmarks: Mapping[str, float]  # the same of those in `LANDMARKS` that the search's space has


def run(name: str, changes: Mapping[str, Any], seed: int, *, evaluations: int, directory: Path) -> Run:
    """Search as far as that is not done yet, verify, and return what was found.

    `changes`, an entry of `searches.yaml`, take the place of the quickstart campaign's own sections.
    """
    sections = {
        "splits": {"search": 0.05, "validation": 0.1, "test": 0.15},
        "workers": {"cpus": 1},  # the models are too small for two
        "landmarks": "none",  # RegMean would win every search
        **changes,
        "seed": seed,
        "budget": {**changes.get("budget", {}), "evaluations": evaluations},
    }
    found = em.search.from_yaml(CAMPAIGN, set=sections, run_dir=directory)
    verified = found.verify(top=3)
    means = {row.name: row.mean for row in verified.rows}
    means[LANDMARKS[0]] = means[verified.verification.best_parent]
    return Run(
        search=name,
        seed=seed,
        candidates=found.n_candidates,
        hypervolume=_hypervolume(found.front),
        winner=next(row.mean for row in verified.rows if row.candidate == verified.winner),
        landmarks={name: means[name] for name in LANDMARKS if name in means},
    )


def _hypervolume(front: em.Front) -> float:
    import moocore

    values = np.array([[o.value for o in point.estimate.objectives] for point in front])
    return float(moocore.hypervolume(values, ref=np.zeros(values.shape[1]), maximise=True))


def landmark(name: str, runs: Iterable[Run]) -> dict[int, float]:
    """Return seed -> macro-average of a landmark on test items, which is the same for every search that has it."""
    return {run.seed: run.landmarks[name] for run in runs if name in run.landmarks}
