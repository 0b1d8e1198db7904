"""A PNG of the mean test accuracy over evaluations, with its standard error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.m2n2_digits.runs import Run


def draw(runs: Sequence[Run], path: Path, *, title: str) -> None:
    """Write one curve per method; the runs of a method have the same number of evaluations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for method in dict.fromkeys(run.method for run in runs):
        curves = np.array([run.curve for run in runs if run.method == method])
        evaluations, accuracies = curves[0, :, 0], 100 * curves[:, :, 1]
        centre = accuracies.mean(axis=0)
        (line,) = axes.plot(evaluations, centre, label=f"{method}: {centre[-1]:.1f} %")
        if len(accuracies) > 1:
            error = accuracies.std(axis=0, ddof=1) / len(accuracies) ** 0.5
            axes.fill_between(evaluations, centre - error, centre + error, color=line.get_color(), alpha=0.2)
    axes.set(title=title, xlabel="evaluations", ylabel="test accuracy (%)")
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
