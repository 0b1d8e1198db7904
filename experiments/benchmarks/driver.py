"""Overhead of the driver: ask, decode, archive, submit, estimate, tell, with candidates that cost nothing.

usage: python -m experiments.benchmarks.driver [--candidates N] [--ray-candidates N] [--json]

In process the search should do at least 300 candidates per second, as fast at the end of 100,000 as at the beginning.
On Ray a candidate should cost at most 20 ms beyond its own work.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import evomerge as em
from evomerge.archive import Archive
from evomerge.campaign.campaign import Campaign
from evomerge.campaign.progress import Limits
from evomerge.workers.in_process import InProcessPool
from evomerge.workers.protocol import WorkerPool
from evomerge.workers.ray_pool import RayPool
from fitness import Budget, MeanEstimator, Objective, Splits
from search_spaces import Groups, WeightSpace

TASKS = ("arithmetic", "words")
ITEMS_PER_TASK = 100
N_PARTS = 10  # the run is timed in as many parts, to see whether it stays flat


class NoWork:
    """A worker that merges nothing; its scores are 0s and 1s drawn from the candidate's number."""

    def __init__(self, item_ids: tuple[str, ...]) -> None:
        """Score these items, whatever the budget."""
        self._item_ids = item_ids

    def evaluate(self, candidate: em.Candidate, budget: Budget) -> em.Scored:
        """Return scores at once."""
        del budget
        values = np.random.default_rng(candidate.number).random(len(self._item_ids)) < 0.5
        return em.Scored(candidate, em.ItemScores(self._item_ids, values.astype(np.float64)), 0.0)

    def evaluate_together(self, candidates: Sequence[em.Candidate], budget: Budget) -> list[em.Scored | em.Failure]:
        """Return scores at once."""
        return [self.evaluate(candidate, budget) for candidate in candidates]


def campaign_of(
    archive: Archive, n_candidates: int, make_pool: Callable[[tuple[str, ...]], WorkerPool], optimiser: str = "nsga2"
) -> Campaign[Any]:
    """Return a search of a real space (3 parents, 24 layers, 5 blocks)."""
    parents = {name: em.ParentSource(f"/models/{name}") for name in ("base", "arithmetic", "words", "code")}
    space = WeightSpace(
        parents, "base", n_layers=24, operators=["ties"], groups=Groups(5), genes={"weight": (0.0, 1.5)}
    )
    ids = [str(i) for i in range(2 * ITEMS_PER_TASK)]
    splits = Splits.draw_by_place(dict.fromkeys(TASKS, ids), shares={"search": 0.5, "test": 0.5}, seed=0)
    task_of = {item: item.split("/")[0] for item in splits.item_ids}
    objectives = [Objective(task, (task,)) for task in TASKS]
    problem = em.optimisers.Problem(space, 0, dict.fromkeys(TASKS, 1.0), n_candidates)
    return Campaign(
        archive,
        space,
        em.optimisers.Pymoo(optimiser).build(problem),
        estimator=MeanEstimator(objectives, task_of=task_of, splits=splits),
        pool=make_pool(splits.items["search"]),
        limits=Limits(n_candidates),
    )


def search(
    directory: Path,
    n_candidates: int,
    make_pool: Callable[[tuple[str, ...]], WorkerPool],
    optimiser: str = "nsga2",
) -> list[float]:
    """Run the search and return the seconds of each tenth."""
    archive = Archive.create(directory / "archive.sqlite", "name: benchmark\n")
    times: list[float] = []

    def watch(event: object) -> None:
        if isinstance(event, em.CandidateTold) and event.progress.done % (n_candidates // N_PARTS) == 0:
            times.append(time.perf_counter())

    campaign = campaign_of(archive, n_candidates, make_pool, optimiser)
    campaign.callbacks = [watch]
    began = time.perf_counter()
    campaign.run()
    campaign.pool.close()
    archive.close()
    return [later - earlier for earlier, later in itertools.pairwise([began, *times])]


def main() -> None:
    """Print candidates per second in process, part by part, and milliseconds per candidate on Ray."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--ray-candidates", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        parts = search(Path(scratch), arguments.candidates, lambda ids: InProcessPool(lambda: NoWork(ids)))
        megabytes = (Path(scratch) / "archive.sqlite").stat().st_size / 1e6
    per_second = [arguments.candidates / N_PARTS / seconds for seconds in parts]
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        on_ray = search(
            directory, arguments.ray_candidates, lambda ids: RayPool(lambda: NoWork(ids), count=1, run_dir=directory)
        )
    # The first part holds the workers' first calls, which Ray makes slower.
    milliseconds = 1000 * sum(on_ray[1:]) / (arguments.ray_candidates * (N_PARTS - 1) / N_PARTS)
    if arguments.json:
        print(json.dumps({"in_process_per_second": per_second, "ray_ms": milliseconds, "archive_mb": megabytes}))
        return
    print(f"in process, {arguments.candidates} candidates: candidates per second in each tenth")
    print("  " + "  ".join(f"{rate:.0f}" for rate in per_second))
    print(f"  archive: {megabytes:.0f} MB, {1e6 * megabytes / arguments.candidates:.0f} bytes per candidate")
    print(f"on Ray, one worker, {arguments.ray_candidates} candidates: {milliseconds:.1f} ms per candidate")


if __name__ == "__main__":
    main()
