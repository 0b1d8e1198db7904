"""Whether the driver feeds 64 workers, and how long a search of 100,000 candidates takes to resume.

usage: python -m experiments.benchmarks.scale.driver [--candidates N] [--workers N] [--ray-candidates N] [--keep DIR]

The driver should submit, take in and commit at least 200 candidates a second with 64 workers; a resume of 100,000
candidates, the optimiser's replay included, should take at most 20 s; a score that is no 0 or 1 at most 4 bytes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import evomerge as em
from evomerge.archive import Archive
from evomerge.archive.codec import pack_scores
from evomerge.workers.in_process import InProcessPool
from evomerge.workers.ray_pool import RayPool
from experiments.benchmarks.driver import NoWork, campaign_of, search
from fitness.scores import in_four_bytes


def resume(directory: Path, n_candidates: int, optimiser: str) -> dict[str, Any]:
    """Run a search to its end once, then open it again, which replays it: seconds of wall clock and of this process."""
    path = directory / "archive.sqlite"
    if not path.exists():
        search(directory, n_candidates, lambda ids: InProcessPool(lambda: NoWork(ids)), optimiser)
    began, processor = time.perf_counter(), time.process_time()
    with contextlib.closing(Archive.open(path)) as archive:
        campaign = campaign_of(archive, n_candidates, lambda ids: InProcessPool(lambda: NoWork(ids)), optimiser)
        assert campaign.run() == "evaluations"
        assert campaign.progress.done == n_candidates
    return {
        "candidates": n_candidates,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - processor,
        "bytes_per_candidate": path.stat().st_size / n_candidates,
    }


def feed(n_workers: int, n_candidates: int) -> dict[str, Any]:
    """Search on Ray with candidates that cost nothing; the first tenth, with the workers' first calls, is left out."""
    with tempfile.TemporaryDirectory(prefix="scale", dir="/tmp") as scratch:
        directory, processor = Path(scratch), time.process_time()
        make = partial(RayPool, count=n_workers, run_dir=directory, start_timeout_s=3600)
        times = search(directory, n_candidates, lambda ids: make(partial(NoWork, ids)))
        of_driver = time.process_time() - processor
    later = sum(times[1:]) / (n_candidates * (len(times) - 1) / len(times))
    return {
        "workers": n_workers,
        "candidates": n_candidates,
        "per_second": 1 / later,
        "driver_cpu_ms": 1000 * of_driver / n_candidates,
    }


def score_bytes(n_items: int = 15_000) -> float:
    """Return the bytes of one score that is a margin, of those that workers return."""
    margins = np.random.default_rng(0).normal(size=n_items)
    scores = in_four_bytes(em.ItemScores(tuple(map(str, range(n_items))), margins))
    return len(pack_scores(scores.values)) / n_items


def main() -> None:
    """Print a line for each, with what it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--ray-candidates", type=int, default=4000)
    parser.add_argument("--optimiser", default="nsga2")
    parser.add_argument("--keep", type=Path, help="a directory: the search that is made there is resumed again")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found: dict[str, Any] = {"score_bytes": score_bytes(), "load": os.getloadavg()[0]}
    if arguments.ray_candidates:
        found["driver"] = feed(arguments.workers, arguments.ray_candidates)
    with tempfile.TemporaryDirectory() as scratch:
        found["resume"] = resume(arguments.keep or Path(scratch), arguments.candidates, arguments.optimiser)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"load of the machine {found['load']:.1f} on {os.cpu_count()} cores")
    print(f"a score that is no 0 or 1: {found['score_bytes']:.3f} bytes (at most 4, and one for all)")
    if "driver" in found:
        d = found["driver"]
        print(
            f"driver, {d['workers']} workers: {d['per_second']:.0f} candidates a second (at least 200), "
            f"{d['driver_cpu_ms']:.2f} ms of the driver's processor each"
        )
    r = found["resume"]
    print(
        f"resume of {r['candidates']} candidates: {r['seconds']:.1f} s, {r['cpu_seconds']:.1f} s of the processor "
        f"(at most 20 for 100,000); {r['bytes_per_candidate']:.0f} bytes each"
    )


if __name__ == "__main__":
    main()
