"""What page, notebook and PNG must have in common: the numbers of one description."""

import json
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from evomerge.results.report.marks import Figure, Trace
from evomerge.results.report.plots import in_notebook
from evomerge.results.report.png import draw


def assert_drawn_alike(figures: Sequence[Figure]) -> None:
    """Assert that the notebook's and the PNG's figure hold every number that the page's JSON holds."""
    described = json.loads(json.dumps(list(figures), allow_nan=False))
    traces = [trace for figure in described for trace in figure["data"]]
    notebook = in_notebook(figures)
    assert "var(--" not in notebook.to_json()
    assert [trace.type for trace in notebook.data] == [trace["type"] for trace in traces]
    for drawn, trace in zip(notebook.data, traces, strict=True):
        assert (list(drawn.x), list(drawn.y)) == (trace["x"], trace["y"])
    axes = [ax for ax in draw(figures).axes if ax.get_visible() and ax.get_label() != "<colorbar>"]
    for ax, figure in zip(axes, described, strict=True):
        assert ax.get_title(loc="left") == figure.get("name", "")
        assert len(ax.collections) == sum(map(_n_collections, figure["data"]))
        for trace in figure["data"]:
            assert _is_drawn(ax, trace), trace


def _n_collections(trace: Trace) -> int:
    """Return how many of matplotlib's collections a trace is: a heat map, a filled area, or error bars."""
    return (trace["type"] == "heatmap") + ("fill" in trace) + sum(f"error_{axis}" in trace for axis in "xy")


def _is_drawn(ax: Axes, trace: Trace) -> bool:
    if trace["type"] == "heatmap":
        (mesh,) = ax.collections
        return np.array_equal(mesh.get_array().filled(np.nan), np.array(trace["z"], dtype=float), equal_nan=True)
    if "text" in trace["mode"] and not {text.strip("\u00a0") for text in trace["text"]} <= {
        t.get_text() for t in ax.texts
    }:
        return False
    if trace.get("line", {}).get("width") == 0:
        return True  # the edge of a band
    points, has_markers = np.column_stack([trace["x"], trace["y"]]), "markers" in trace["mode"]
    return any(
        np.array_equal(line.get_xydata(), points) and (line.get_marker() != "None") == has_markers for line in ax.lines
    )
