"""A PNG of how often each strategy's pick is good enough, over the item evaluations that it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.reduction.outcomes import Point


def draw_curves(points: Sequence[Point], path: Path, *, n_items: int, most_regret: float) -> None:
    """Write one panel per number of candidates, one line per strategy, with bands of the 95 % intervals."""
    from matplotlib.figure import Figure

    counts = sorted({point.candidates for point in points})
    looks, n_rows = _looks(points), -(-len(counts) // 2)
    figure = Figure(figsize=(13.0, 4.4 * n_rows + 1.0), layout="constrained")
    panels = figure.subplots(n_rows, 2, squeeze=False, sharey=True)
    for axes, count in zip(panels.flat, counts, strict=False):
        for name, look in looks.items():
            own = [p for p in points if (p.strategy, p.candidates) == (name, count)]
            own.sort(key=lambda p: p.evaluations)
            x = [p.evaluations for p in own]
            axes.plot(x, [100 * p.probability for p in own], label=name, **look)
            low, high = [100 * p.low for p in own], [100 * p.high for p in own]
            axes.fill_between(x, low, high, color=look["color"], alpha=0.1, linewidth=0)
        full = count * n_items
        axes.plot(full, 100, marker="*", markersize=11, color="black", linestyle="none", label="full evaluation")
        axes.axhline(95, color="black", linewidth=0.8)
        axes.axvline(full / 50, color="black", linewidth=0.8, linestyle=":")
        axes.text(full / 50, 2, " a fiftieth", fontsize="small")
        axes.set(title=f"{count} candidates", xlabel="item evaluations", xscale="log", ylim=(0, 103))
        axes.grid(alpha=0.3)
    for axes in panels.flat[len(counts) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel(f"regret at most {100 * most_regret:g} points (% of searches)")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _looks(points: Sequence[Point]) -> Mapping[str, Mapping[str, Any]]:
    """Return strategy -> how its line looks: dashed where it needs a response model."""
    from matplotlib import colormaps

    found: dict[str, Mapping[str, Any]] = {}
    for dashed, colours in ((False, colormaps["tab10"]), (True, colormaps["Dark2"])):
        names = dict.fromkeys(p.strategy for p in points if bool(p.calibration) == dashed)
        for k, name in enumerate(names):
            marker = "osv^Dx+"[k % 7]
            found[name] = {"color": colours(k % 8), "linestyle": "--" if dashed else "-", "marker": marker, "ms": 4}
    return found
