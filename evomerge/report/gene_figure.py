"""The heat map of one parameter over depth, as plotly's JSON."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np

from evomerge.report.figures import Figure, layout
from evomerge.report.gene_map import Column, GeneMap
from evomerge.report.labels import shortened_row


def gene_figure(genes: GeneMap, limits: tuple[float, float]) -> Figure:
    """Return one parameter's heat map; a narrow gap sets what lies outside the layers apart."""
    edges, cells = _tiles(genes.columns)
    values: list[list[float | None]] = [[None] * len(cells) for _ in genes.rows]
    hover: list[list[str | None]] = [[None] * len(cells) for _ in genes.rows]
    for at, k in ((at, k) for at, k in enumerate(cells) if k is not None):
        for r in range(len(genes.rows)):
            if np.isfinite(genes.values[r, k]):
                values[r][at] = float(f"{genes.values[r, k]:.4g}")
                hover[r][at] = f"{_where(genes.columns[k])}<br>{html.escape(str(genes.operators[r, k]))}"
    middles = [(a + b) / 2 for a, b, k in zip(edges, edges[1:], cells, strict=False) if k is not None]
    labels = [genes.columns[k].label for k in cells if k is not None]
    every = -(-len(labels) // 16)
    trace = {
        "type": "heatmap",
        "x": edges,
        "y": [html.escape(shortened_row(row)) for row in genes.rows],
        "z": values,
        "customdata": hover,
        "zmin": limits[0],
        "zmax": limits[1] if limits[1] > limits[0] else limits[0] + 1,
        "colorscale": [[0, "var(--low)"], [0.5, "var(--middle)"], [1, "var(--high)"]],
        "colorbar": {"thickness": 9, "outlinewidth": 0, "nticks": 5, "tickfont": {"size": 11}, "xpad": 6},
        "xgap": 1.5,
        "ygap": 1.5,
        "hoverongaps": False,
        "hovertemplate": "<b>%{z}</b>  %{y}<br>%{customdata}<extra></extra>",
    }
    frame = layout(58 + 26 * len(genes.rows), "layer" if any(c.layers for c in genes.columns) else None, None)
    frame["xaxis"] |= {
        "tickvals": middles[::every],
        "ticktext": labels[::every],
        "autotickangles": [0, 90],
        "showgrid": False,
        "zeroline": False,
    }
    frame["yaxis"] |= {"autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6}
    return {"data": [trace], "layout": frame, "parameter": genes.parameter}


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


def _where(column: Column) -> str:
    if column.layers is None:
        return column.label
    return f"layer{'s' if column.layers[1] > column.layers[0] + 1 else ''} {column.label}"
