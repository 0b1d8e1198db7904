"""A PNG of hypervolumes and winners, every search with the 95 % interval of its mean over seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from experiments.optimisers.intervals import interval
from experiments.optimisers.runs import LANDMARKS, Run, landmark


def draw(runs: Sequence[Run], path: Path) -> None:
    """Write two panels, with one row per search and a dot per seed."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(run.search for run in runs))
    figure = Figure(figsize=(9.5, 0.6 + 0.32 * len(names)), layout="constrained")
    front, winners = figure.subplots(1, 2, sharey=True)
    _panel(front, runs, names, lambda run: 100 * run.hypervolume)
    _panel(winners, runs, names, lambda run: 100 * run.winner)
    for style, name in zip((":", "--", "-."), LANDMARKS, strict=True):
        if found := landmark(name, runs):
            winners.axvline(100 * mean(found.values()), color="black", linewidth=1, linestyle=style, label=name)
    front.set(xlabel="hypervolume on search items (%)", yticks=range(len(names)), yticklabels=names)
    front.invert_yaxis()
    winners.set(xlabel="winner's mean on test items (%)")
    figure.legend(loc="outside upper right", ncols=len(LANDMARKS), fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _panel(axes: Any, runs: Sequence[Run], names: Sequence[str], value: Callable[[Run], float]) -> None:
    for row, name in enumerate(names):
        values = [value(run) for run in runs if run.search == name]
        centre, half_width = interval(values)
        axes.plot(values, [row] * len(values), ".", color="0.65", markersize=5, zorder=1)
        axes.errorbar(centre, row, xerr=half_width, fmt="o", color="tab:blue", markersize=4, capsize=3, zorder=2)
    axes.grid(alpha=0.3)
