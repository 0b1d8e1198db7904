"""How long the past takes to read, before the optimiser replays it: damage, then every event.

usage: python -m experiments.benchmarks.resume [--candidates N] [--items N] [--keep DIR]

At 100,000 candidates of 200 items it should take seconds; unpacking every recipe took most of a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

import numpy as np

import evomerge as em
from evomerge.archive import Archive
from fitness import Estimate, ObjectiveEstimate
from search_spaces import Groups, WeightSpace


def fill(path: Path, n_candidates: int, n_items: int) -> None:
    """Make an archive of a real space (3 parents, 24 layers, 5 blocks), an asked and a told event a candidate."""
    parents = {name: em.ParentSource(f"/models/{name}") for name in ("base", "arithmetic", "words", "code")}
    genes = {"weight": (0.0, 1.5)}
    space = WeightSpace(parents, "base", n_layers=24, operators=["ties"], groups=Groups(5), genes=genes)
    ids = tuple(f"words/{i}" for i in range(n_items))
    rng = np.random.default_rng(0)
    with contextlib.closing(Archive.create(path, "name: benchmark\n")) as archive, archive.transaction():
        for number in range(n_candidates):
            genome = rng.random(space.dim)
            candidate = em.Candidate(number, space.decode(genome), None, number, genome)
            values = (rng.random(n_items) < 0.5).astype(np.float64)
            archive.asked([candidate], 1)
            estimate = Estimate("search", (ObjectiveEstimate("words", float(values.mean()), 0.01, n_items),))
            archive.told([(em.Scored(candidate, em.ItemScores(ids, values), 1.0), estimate)])


def main() -> None:
    """Print seconds of wall clock and of the processor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="a directory: what is made there is read again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = (arguments.keep or Path(scratch)) / "archive.sqlite"
        if not path.exists():
            fill(path, arguments.candidates, arguments.items)
        began, processor = time.perf_counter(), time.process_time()
        with contextlib.closing(Archive.open(path)) as archive:
            n_events = sum(1 for _ in archive.history())
        seconds, of_processor = time.perf_counter() - began, time.process_time() - processor
    print(f"{n_events} events read in {seconds:.1f} s, {of_processor:.1f} s of the processor")


if __name__ == "__main__":
    main()
