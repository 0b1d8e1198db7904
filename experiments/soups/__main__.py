"""A soup of sixteen digit networks: uniform, greedy, best single, and weights found by CMA-ES.

    python -m experiments.soups [--seeds 1 2 3 4 5] [--evaluations 300] [--json]

Sixteen networks are fine-tuned from one start with different rates, numbers of steps and shares of the digits, some of
them badly. CMA-ES searches weights that sum to 1 (simplex, affine) and free weights that are divided by their sum, on
search items; what is printed is the macro-average of two tasks (even and odd digits) on test items that no search saw.

Cost: about a minute on one core. Expected, and claimed as a quality only: the found soups are above the best single
network and the uniform soup on test items and level with the greedy soup (whose search takes a tenth of the soups);
the affine one gives nearly every network some weight, poor ones included.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.table import Table

from experiments.printing import guarded, make_console, mean_and_error, table
from experiments.soups.runs import KINDS, Soup, soups


def main() -> None:
    """Run the experiment."""
    description = (__doc__ or "").splitlines()[0]
    parser = argparse.ArgumentParser(prog="python -m experiments.soups", description=description)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="print every soup instead of a table")
    parser.add_argument("--png", type=Path, default=Path("runs/soups/soups.png"))
    options = parser.parse_args()
    found = [soup for seed in options.seeds for soup in soups(seed, options.evaluations)]
    if options.json:
        print(json.dumps({"soups": [asdict(soup) for soup in found]}))
        return
    console = make_console()
    console.print(_table(found))
    _draw(found, options.png)
    console.print(f"figure: {options.png}")


def _of(found: Sequence[Soup], kind: str) -> list[Soup]:
    return [soup for soup in found if soup.kind == kind]


def _table(found: Sequence[Soup]) -> Table:
    rows = []
    for kind in KINDS:
        own = _of(found, kind)
        scores = [mean_and_error([getattr(soup, split) for soup in own], 4) for split in ("search", "test")]
        used = np.mean([sum(abs(weight) > 1 / 160 for weight in soup.weights) for soup in own])
        rows.append([kind, *scores, f"{used:.1f}", f"{np.mean([soup.evaluations for soup in own]):.0f}"])
    header = ["soup", "search items", "test items", "networks with |weight| > 1/160", "evaluations"]
    return table("macro-average of two tasks", header, rows)


def _draw(found: Sequence[Soup], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    for k, kind in enumerate(KINDS):
        values = [100 * soup.test for soup in _of(found, kind)]
        left.scatter(values, [k] * len(values), alpha=0.5, s=18)
        left.plot([np.mean(values)] * 2, [k - 0.3, k + 0.3], color="black")
    left.set(yticks=range(len(KINDS)), yticklabels=KINDS, xlabel="test accuracy (%), one dot per seed")
    left.grid(alpha=0.3, axis="x")
    first = found[0].seed
    for kind in ("CMA-ES, simplex", "CMA-ES, affine"):
        soup = next(soup for soup in _of(found, kind) if soup.seed == first)
        right.plot(range(1, 17), soup.weights, marker="o", label=kind)
    right.axhline(1 / 16, color="grey", linewidth=0.8, label="uniform")
    right.set(xlabel="network, worst to best alone", ylabel="weight", title=f"seed {first}")
    right.grid(alpha=0.3)
    right.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    guarded(main)
