"""Means over seeds with 95 % intervals, and a PNG of every search's hypervolumes and winners."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np

from experiments.optimisers.runs import LANDMARKS, Run, landmark


class Interval(NamedTuple):
    """A mean and the half-width of its 95 % interval by Student's t; NaN of a single value."""

    mean: float
    half_width: float


def interval(values: Sequence[float]) -> Interval:
    """Return the interval of the mean of at least one value."""
    from scipy.stats import t as student

    n = len(values)
    if n < 2:
        return Interval(values[0], math.nan)
    return Interval(float(np.mean(values)), float(student.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5))


def in_words(values: Sequence[float], sign: str = "") -> str:
    """Return the mean and half-width of values, times 100; nothing of no values."""
    if not values:
        return ""
    mean, half_width = interval([100 * value for value in values])
    return f"{mean:{sign}.1f}" + ("" if math.isnan(half_width) else f" ± {half_width:.1f}")


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
