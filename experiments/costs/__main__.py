"""Fronts of right answers against cost: tokens beside a grid of weights, depth with and without importance.

python -m experiments.costs tokens|half_blocks [--runs DIR]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import evomerge as em
from experiments.printing import guarded, make_console, steps, table

HERE = Path(__file__).parent
GRID = 9  # interpolation weights
SEEDS = (0, 1, 2)
EXPERTS = ("sort", "shift", "rotate")
STARTS: dict[str, dict[str, Any]] = {"usual": {}, "importance": {"optimiser.warm_start": "importance"}}


def tokens(runs: Path) -> None:
    """Search blocks of layers, and beside it a grid of one weight for all."""
    console = make_console()
    grid = {
        "name": "costs-tokens-grid",
        "space.groups": {"layer_blocks": 1, "modules": ["all"]},
        "optimiser": {"kind": "experiments.costs.grid:Grid", "points": GRID},
        "landmarks": "none",
    }
    searches: dict[str, dict[str, Any]] = {"grid": grid, "nsga2": {}}
    found = {
        name: em.search.from_yaml(HERE / "tokens.yaml", set=changes, run_dir=runs / name, callbacks=[steps(console)])
        for name, changes in searches.items()
    }
    rows = []
    for name, run in found.items():
        report = run.verify(top=3, callbacks=[steps(console)])
        for row in report.rows:
            right, length = row.objectives
            rows.append([name, row.name, f"{right.value:.3f} ± {right.stderr:.3f}", f"{-length.value:.2f}"])
        console.print(f"{name}: {report.verdict}")
    console.print(table("On test items", ["search", "model", "sums", "tokens, fewer is better"], rows))


def half_blocks(runs: Path) -> None:
    """Search half layers of each expert, beginning as usual and at what importance says."""
    rows = []
    for expert in EXPERTS:
        for start, changes in STARTS.items():
            fronts = [_front_of(expert, changes, seed, runs / f"{expert}-{start}-{seed}") for seed in SEEDS]
            volumes = [_volume(front) for front in fronts]
            shorter = [max((right for right, depth in front if depth <= 5.0), default=0.0) for front in fronts]
            shown = [f"{volume:.3f}" for volume in (*volumes, float(np.mean(volumes)))]
            rows.append([expert, start, *shown, f"{np.mean(shorter):.3f}"])
    header = ["expert", "start", *(f"seed {seed}" for seed in SEEDS), "mean", "right with at most 5 of 6 layers"]
    make_console().print(table("Share of the box of [0, 1] x [0, 6 layers] that the front dominates", header, rows))


def _front_of(expert: str, changes: dict[str, Any], seed: int, directory: Path) -> list[tuple[float, float]]:
    """Return right answers and depth of the front on search items."""
    right = {"name": expert, "tasks": [f"../quickstart/tasks/{expert}.jsonl"]}
    own = {"space.sources": [expert], "objectives": [right, {"name": "depth", "cost": "depth"}], "seed": seed}
    run = em.search.from_yaml(HERE / "half_blocks.yaml", set={**own, **changes}, run_dir=directory)
    return [(point.objective(expert).value, -point.objective("depth").value) for point in run.front]


def _volume(front: Sequence[tuple[float, float]]) -> float:
    """Return the hypervolume of right answers against layers that are left out, as a share of the box."""
    import moocore

    values = np.array([[right, (6.0 - depth) / 6.0] for right, depth in front])
    return float(moocore.hypervolume(values, ref=np.zeros(2), maximise=True))


def main() -> None:
    """Run what is asked for, as far as that is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=("tokens", "half_blocks"))
    parser.add_argument("--runs", type=Path, default=Path("runs/costs"))
    arguments = parser.parse_args()
    {"tokens": tokens, "half_blocks": half_blocks}[arguments.which](arguments.runs / arguments.which)


if __name__ == "__main__":
    guarded(main)
