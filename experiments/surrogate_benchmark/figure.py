"""A picture of every search: how many points above the one that it is compared with, at each budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.surrogate_benchmark.tables import Cell


def draw(cells: Sequence[Cell], path: Path) -> None:
    """Write a panel for each matrix (columns) and each of winner and hypervolume (rows)."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    wanted = [("mean", "winner"), ("front", "hypervolume")]
    found = [c for c in cells if (c.setting, c.measure) in wanted and c.search != c.beside]
    matrices = list(dict.fromkeys(c.matrix for c in found))
    rows = [pair for pair in wanted if any((c.setting, c.measure) == pair for c in found)]
    names = list(dict.fromkeys(c.search for c in found))
    figure = Figure(figsize=(4.2 * len(matrices) + 1.6, 3.4 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), len(matrices), squeeze=False)
    colours = {name: colormaps["tab20"](i % 20) for i, name in enumerate(names)}
    for row, (setting, measure) in enumerate(rows):
        for column, matrix in enumerate(matrices):
            axis = axes[row][column]
            axis.axhline(0.0, color="black", linewidth=0.8)
            for i, name in enumerate(names):
                own = [
                    c for c in found if (c.matrix, c.setting, c.measure, c.search) == (matrix, setting, measure, name)
                ]
                own.sort(key=lambda c: c.evaluations)
                at = [c.evaluations * (1.0 + 0.02 * (i - len(names) / 2)) for c in own]  # beside each other
                over, widths = [c.over for c in own], [c.half_width for c in own]
                axis.errorbar(at, over, widths, label=name, color=colours[name], marker=".", capsize=2)
            budgets = sorted({c.evaluations for c in found})
            axis.set(xscale="log", xticks=budgets, xticklabels=budgets, title=f"{matrix}: {measure}")
            axis.minorticks_off()
            axis.grid(alpha=0.3)
        axes[row][0].set_ylabel(f"points above {found[0].beside}")
    axes[-1][0].set_xlabel("evaluations")
    handles: dict[str, Any] = {}
    for axis in axes.flat:
        drawn, labels = axis.get_legend_handles_labels()
        handles |= dict(zip(labels, drawn, strict=True))
    figure.legend(list(handles.values()), list(handles), loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=110)
