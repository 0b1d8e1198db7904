"""A PNG of the hypervolume over evaluations, one panel per number of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.map_fronts.runs import METHODS, Run


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
