"""MAP against NSGA-II and random search, on merges of digit experts whose true front a grid tells.

    python -m experiments.map_fronts [--tasks 2 3 4] [--seeds 1 2 3 4 5] [--evaluations 60] [--json]

N experts are fine-tuned from one base, each on its share of the ten digits; a genome is the N weights of their task
vectors, in [0, 1.5]; the objectives are the N accuracies on held-in search items. The truth is a grid of real scores
(61² for two, 21³ for three, 11⁴ for four). Prints, by seed-averaged means and standard errors: the hypervolume after
some evaluations as a share of the grid's, and how well the surrogates of MAP's evaluations predict the whole grid (R²
of accuracies).

Cost: about five minutes on one core. Expected after 60 evaluations: at least 0.99 of the grid's hypervolume for two
tasks and 0.97 for three, and for four several times what NSGA-II and random search find; R² of the final surrogates at
least 0.98 for two tasks, and less for more: rounds go where the front is, not where the grid is.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.table import Table

from experiments.map_fronts.runs import MERGES, METHODS, Run, run, truth
from experiments.printing import guarded, make_console, mean_and_error, table


def main() -> None:
    """Run the experiment."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.map_fronts", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--tasks", type=int, nargs="+", choices=MERGES, default=list(MERGES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--json", action="store_true", help="print every run instead of tables")
    parser.add_argument("--png", type=Path, default=Path("runs/map_fronts/hypervolume.png"))
    options = parser.parse_args()
    runs: list[Run] = []
    for n_tasks, seed in itertools.product(options.tasks, options.seeds):
        found = truth(n_tasks, seed)
        runs += [run(found, method, options.evaluations) for method in METHODS]
    if options.json:
        print(json.dumps({"runs": [asdict(each) for each in runs]}))
        return
    console = make_console()
    console.print(_hypervolumes(runs, options.evaluations))
    console.print(_fits(runs))
    draw(runs, options.png)
    console.print(f"curves: {options.png}")


def _hypervolumes(runs: Sequence[Run], evaluations: int) -> Table:
    marks = [n for n in (12, 20, 30, 40, 60, 100) if n <= evaluations]
    rows = []
    for n_tasks, method in itertools.product(dict.fromkeys(each.tasks for each in runs), METHODS):
        own = [each for each in runs if (each.tasks, each.method) == (n_tasks, method)]
        cells = [mean_and_error([each.hypervolumes[n - 1] for each in own]) for n in marks]
        rows.append([str(n_tasks), method, *cells])
    title = "hypervolume after so many evaluations, share of the grid's"
    return table(title, ["tasks", "optimiser", *map(str, marks)], rows)


def _fits(runs: Sequence[Run]) -> Table:
    rows = []
    for n_tasks in dict.fromkeys(each.tasks for each in runs):
        own = [each.r2 for each in runs if each.tasks == n_tasks and each.r2]
        rows.append([str(n_tasks), *map(mean_and_error, zip(*own, strict=True))])
    title = "R² of the surrogates' accuracies over the whole grid"
    return table(title, ["tasks", "after the design", "after all evaluations"], rows)


def draw(runs: Sequence[Run], path: Path) -> None:
    """Write means over the seeds with bands of one standard error."""
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(each.tasks for each in runs))
    figure = Figure(figsize=(4.2 * len(tasks), 3.6), layout="constrained")
    for axes, n_tasks in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        for method in METHODS:
            own = [each.hypervolumes for each in runs if (each.tasks, each.method) == (n_tasks, method)]
            curves = np.array(own)
            centre, n = curves.mean(axis=0), np.arange(1, curves.shape[1] + 1)
            (line,) = axes.plot(n, centre, label=method)
            error = curves.std(axis=0, ddof=min(1, len(curves) - 1)) / len(curves) ** 0.5
            axes.fill_between(n, centre - error, centre + error, color=line.get_color(), alpha=0.2)
        axes.set(title=f"{n_tasks} tasks", xlabel="evaluations", ylabel="hypervolume, share of the grid's")
        axes.set_ylim(0.0, 1.25)
        axes.grid(alpha=0.3)
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    guarded(main)
