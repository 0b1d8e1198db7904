"""Starting or resuming a toy campaign."""

from __future__ import annotations

from pathlib import Path

from evomerge.archive import Archive
from evomerge.campaign import Campaign
from evomerge.optimisers.cma_es import CmaEs
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.pymoo_adapter import PymooOptimiser
from evomerge.optimisers.random_search import RandomSearch
from evomerge.progress import Limits
from evomerge.workers.in_process import InProcessPool
from evomerge.workers.protocol import WorkerPool
from tests.evomerge.toy import ToyEstimator, ToySpace, ToyWorker

OPTIMISERS = {
    "cma_es": lambda: CmaEs(2, weights={"sums": 1.0, "words": 1.0}, seed=3),
    "nsga2": lambda: PymooOptimiser(2, n_objectives=2, seed=3, population=8),
    "random": lambda: RandomSearch(2, seed=3),
}


def campaign(archive: Archive, optimiser: Optimiser, pool: WorkerPool, evaluations: int, **options: object) -> Campaign:
    limits = Limits(evaluations)
    return Campaign(archive, ToySpace(), optimiser, estimator=ToyEstimator(), pool=pool, limits=limits, **options)


def run_toy(path: Path, name: str, evaluations: int, *, pool: WorkerPool | None = None, **options: object) -> str:
    """Start or resume, and close the archive."""
    archive = Archive.open(path) if path.exists() else Archive.create(path, "name: toy\n")
    try:
        pool = pool or InProcessPool(ToyWorker)
        return campaign(archive, OPTIMISERS[name](), pool, evaluations, **options).run()
    finally:
        archive.close()
