"""One search with one seed: its campaign, and what it found."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evomerge.archive import Archive
from evomerge.assembly import build_parts, build_pool
from evomerge.assembly.live_models import with_compute_dtype
from evomerge.campaign.campaign import Campaign
from evomerge.campaign.progress import Limits
from evomerge.campaign.run_directory import RunDirectory
from evomerge.config import CampaignConfig, dump_campaign, load_campaign
from evomerge.results.front import read_front
from evomerge.results.verification.verifier import Verifier

CAMPAIGN = Path(__file__).parents[1] / "quickstart" / "campaign.yaml"
LANDMARKS = ("best parent", "uniform mean", "default TIES")


@dataclass(frozen=True)
class Run:
    """One search with one seed.

    Attributes:
        hypervolume: of the front on search items, to the origin.
        winner: macro-average on test items of the candidate that was picked on validation items.
        landmarks: the same of those in `LANDMARKS` that the search's space has.
    """

    search: str
    seed: int
    candidates: int
    hypervolume: float
    winner: float
    landmarks: Mapping[str, float]


def campaign(changes: Mapping[str, Any], *, seed: int, evaluations: int) -> CampaignConfig:
    """Return the quickstart campaign with one search in place of its own.

    Args:
        changes: an entry of `searches.yaml`.
        seed: of the splits and everything random.
        evaluations: the budget.
    """
    data = yaml.safe_load(CAMPAIGN.read_text())
    data |= {**changes, "seed": seed, "budget": {"evaluations": evaluations}}
    data["splits"] = {"search": 0.05, "validation": 0.1, "test": 0.15}
    data["workers"] = {"cpus": 1}  # the models are too small for two
    file = CAMPAIGN.with_name(".comparison.yaml")  # beside the models and tasks that it names
    file.write_text(yaml.safe_dump(data))
    try:
        return with_compute_dtype(load_campaign(file))
    finally:
        file.unlink()


def run(name: str, config: CampaignConfig, directory: RunDirectory) -> Run:
    """Search as far as that is not done yet, verify, and return what was found."""
    with directory.locked(), _archive(config, directory) as archive:
        parts = build_parts(config)
        pool = build_pool(parts, directory.root)
        with contextlib.closing(pool):
            limits = Limits(config.budget.evaluations, None)
            optimiser = parts.optimiser()
            Campaign(archive, parts.space, optimiser, estimator=parts.estimator, pool=pool, limits=limits).run()
            verified = Verifier(archive, pool, parts.estimator, parts.comparison).verify(3, validation=True)
        means = {row.name: row.mean for row in verified.rows}
        means[LANDMARKS[0]] = means[verified.best_parent]
        return Run(
            search=name,
            seed=config.seed,
            candidates=archive.n_candidates,
            hypervolume=_hypervolume(archive),
            winner=means[f"candidate {verified.winner}"],
            landmarks={name: means[name] for name in LANDMARKS if name in means},
        )


@contextlib.contextmanager
def _archive(config: CampaignConfig, directory: RunDirectory) -> Iterator[Archive]:
    new = not directory.archive.exists()
    archive = Archive.create(directory.archive, dump_campaign(config)) if new else Archive.open(directory.archive)
    with contextlib.closing(archive):
        yield archive


def _hypervolume(archive: Archive) -> float:
    import moocore

    front = np.array([[o.value for o in point.estimate.objectives] for point in read_front(archive).points])
    return float(moocore.hypervolume(front, ref=np.zeros(front.shape[1]), maximise=True))


def landmark(name: str, runs: Iterable[Run]) -> dict[int, float]:
    """Return seed -> macro-average of a landmark on test items, which is the same for every search that has it."""
    return {run.seed: run.landmarks[name] for run in runs if name in run.landmarks}
