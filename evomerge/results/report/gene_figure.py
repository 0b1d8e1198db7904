"""The heat map of one parameter over depth."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from evomerge.results.report.gene_map import Column, GeneMap
from evomerge.results.report.labels import shortened_row
from evomerge.results.report.marks import Figure, layout


def gene_figure(genes: GeneMap, limits: tuple[float, float]) -> Figure:
    """Return one parameter's heat map; a narrow gap sets what lies outside the layers apart."""
    edges, cells = _tiles(genes.columns)
    values: list[list[float | None]] = [[None] * len(cells) for _ in genes.rows]
    hover: list[list[str | None]] = [[None] * len(cells) for _ in genes.rows]
    for at, k in ((at, k) for at, k in enumerate(cells) if k is not None):
        for r in range(len(genes.rows)):
            if np.isfinite(genes.values[r, k]):
                values[r][at] = float(f"{genes.values[r, k]:.4g}")
                hover[r][at] = f"{_where(genes.columns[k], genes.axis)}<br>{html.escape(str(genes.operators[r, k]))}"
    high = limits[1] if limits[1] > limits[0] else limits[0] + 1
    trace = {
        "type": "heatmap",
        "x": edges,
        "y": [html.escape(shortened_row(row)) for row in genes.rows],
        "z": values,
        "customdata": hover,
        "zmin": limits[0],
        "zmax": high,
        "colorscale": [[0, "var(--low)"], [0.5, "var(--middle)"], [1, "var(--high)"]],
        "colorbar": {"thickness": 9, "outlinewidth": 0, "tickfont": {"size": 11}, "xpad": 6} | _ticks(limits[0], high),
        "xgap": 1.5,
        "ygap": 1.5,
        "hoverongaps": False,
        "hovertemplate": "<b>%{z}</b>  %{y}<br>%{customdata}<extra></extra>",
    }
    frame = layout(66 + 26 * len(genes.rows), genes.axis if any(c.layers for c in genes.columns) else None, None)
    frame["minreducedheight"] = 26  # plotly would rather draw axis titles over the ticks
    frame["xaxis"] |= {
        **_column_ticks(genes, edges, cells),
        "autotickangles": [0, 90],
        "showgrid": False,
        "zeroline": False,
    }
    frame["yaxis"] |= {"autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6}
    return {"name": genes.parameter, "data": [trace], "layout": frame}


def _column_ticks(genes: GeneMap, edges: Sequence[float], cells: Sequence[int | None]) -> dict[str, list[Any]]:
    """Return the ticks across: at most 16 columns by name, or where they are no layers quarters of the whole."""
    if genes.axis != "layer":
        return {"tickvals": [edges[-1] * q / 4 for q in range(5)], "ticktext": [f"{25 * q} %" for q in range(5)]}
    middles = [(a + b) / 2 for (a, b), k in zip(itertools.pairwise(edges), cells, strict=True) if k is not None]
    labels = [genes.columns[k].label for k in cells if k is not None]
    every = -(-len(labels) // 16)
    return {"tickvals": middles[::every], "ticktext": labels[::every]}


def _ticks(low: float, high: float) -> dict[str, list[Any]]:
    """Return the ticks of a scale, equally wide in every figure, so that maps under each other stand in line."""
    digits = 2 - math.floor(math.log10(high - low))
    texts = [f"{round(value, digits):g}".ljust(6, "\u2007") for value in (low, high)]
    return {"tickvals": [low, high], "ticktext": texts}


def _tiles(columns: Sequence[Column]) -> tuple[list[float], list[int | None]]:
    """Return the n + 1 edges of n tiles across, and each tile's column; None is a gap."""
    depth = max((c.layers[1] for c in columns if c.layers), default=1)
    outside = max(1.0, depth / 14)
    edges: list[float] = []
    cells: list[int | None] = []
    for k, column in enumerate(columns):
        if k and (column.layers is None) != (columns[k - 1].layers is None):
            edges, cells = [*edges, edges[-1] + outside / 3], [*cells, None]
        width = column.layers[1] - column.layers[0] if column.layers else outside
        edges = [*(edges or [0.0]), (edges[-1] if edges else 0.0) + width]
        cells = [*cells, k]
    return edges, cells


def _where(column: Column, axis: str) -> str:
    if column.layers is None or axis != "layer":
        return column.label
    return f"layer{'s' if column.layers[1] > column.layers[0] + 1 else ''} {column.label}"
