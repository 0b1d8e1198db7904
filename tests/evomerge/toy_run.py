"""Start or resume a toy campaign in a process of its own, so that a test can kill it.

usage: python -m tests.evomerge.toy_run ARCHIVE OPTIMISER EVALUATIONS [--pause SECONDS] [--ray WORKERS]
"""

from __future__ import annotations

import argparse
import functools
from pathlib import Path

from evomerge.archive import Archive
from evomerge.campaign import Campaign, Limits
from evomerge.optimisers.cma_es import CmaEs
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.pymoo_adapter import PymooOptimiser
from evomerge.optimisers.random_search import RandomSearch
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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("archive", type=Path)
    parser.add_argument("optimiser", choices=OPTIMISERS)
    parser.add_argument("evaluations", type=int)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--ray", type=int, default=0)
    arguments = parser.parse_args()
    make_worker = functools.partial(ToyWorker, fail_below=0.05, pause=arguments.pause)
    pool: WorkerPool = InProcessPool(make_worker)
    if arguments.ray:
        from evomerge.workers.ray_pool import RayPool

        pool = RayPool(make_worker, count=arguments.ray, run_dir=arguments.archive.parent)
    print("ready", flush=True)
    print(run_toy(arguments.archive, arguments.optimiser, arguments.evaluations, pool=pool), flush=True)
    pool.close()


if __name__ == "__main__":
    main()
