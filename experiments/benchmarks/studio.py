"""How fast the studio's pages are in Chromium: first paint, sorting, filtering, brushing; by Chromium's own clock.

usage: python -m experiments.benchmarks.studio [--candidates N] [--keep DIR]

Needs node, `web/node_modules` (cd web && npm ci) and Chromium. Asked are 2 s and 100 ms at 10,000 candidates.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import evomerge as em
from evomerge.archive import Archive
from fitness import Estimate, ObjectiveEstimate
from search_spaces import Groups, WeightSpace

WEB = Path(__file__).parents[2] / "web"
OBJECTIVES, N_ITEMS = ("arithmetic", "words", "code"), 20


def fill(path: Path, n_candidates: int) -> None:
    """Make an archive of a real space: 3 parents, 24 layers, 5 blocks, 3 objectives of `N_ITEMS` items each."""
    parents = {name: em.ParentSource(f"/models/{name}") for name in ("base", *OBJECTIVES)}
    genes = {"weight": (0.0, 1.5)}
    space = WeightSpace(parents, "base", n_layers=24, operators=["ties"], groups=Groups(5), genes=genes)
    ids = tuple(f"{name}/{i}" for name in OBJECTIVES for i in range(N_ITEMS))
    rng = np.random.default_rng(0)
    with contextlib.closing(Archive.create(path, "name: benchmark\n")) as archive, archive.transaction():
        for number in range(n_candidates):
            genome = rng.random(space.dim)
            candidate = em.Candidate(number, space.decode(genome), None, number, genome)
            values = (rng.random(len(ids)) < 0.5).astype(np.float64)
            archive.asked([candidate], 1)
            means = np.clip(rng.normal(0.5, 0.1, 3), 0, 1)
            objectives = (ObjectiveEstimate(o, float(m), 0.01, N_ITEMS) for o, m in zip(OBJECTIVES, means, strict=True))
            scores = em.ItemScores(ids, values)
            archive.told([(em.Scored(candidate, scores, 1.0), Estimate("search", tuple(objectives)))])


def measured(directory: Path) -> str:
    """Return what a browser measured on the studio of a run, as JSON."""
    node, chromium = shutil.which("node"), shutil.which("chromium")
    if node is None or chromium is None:
        raise SystemExit("node and chromium are needed")
    command = [sys.executable, "-m", "evomerge.cli", "studio", str(directory), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as studio:
        try:
            assert studio.stdout is not None
            address = studio.stdout.readline().split()[1]
            told = subprocess.run(
                [node, "tests/speed.mjs", chromium, address], cwd=WEB, check=True, stdout=subprocess.PIPE, text=True
            )
        finally:
            studio.terminate()
    return told.stdout


def main() -> None:
    """Print milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=10_000)
    parser.add_argument("--keep", type=Path, help="a directory: what is made there is shown again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        directory = arguments.keep or Path(scratch)
        if not (directory / "archive.sqlite").exists():
            directory.mkdir(parents=True, exist_ok=True)
            fill(directory / "archive.sqlite", arguments.candidates)
        print(measured(directory), end="")


if __name__ == "__main__":
    main()
