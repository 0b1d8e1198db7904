"""The front that MAP's surrogates predict beside the one that was scored, and how the latter grew."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.predicted_front import Prediction
from evomerge.report.contents import Contents
from evomerge.report.figures import Figure, layout, rounded

MOST_STEPS = 150  # of the hypervolume's curve
MOST_OBJECTIVES = 4


def predicted_figures(contents: Contents, prediction: Prediction) -> list[Figure]:
    """Return one figure per pair of objectives, up to four of them, and the hypervolume; none for one objective."""
    m = len(prediction.objectives)
    if m < 2 or tuple(contents.scored.objectives) != prediction.objectives:
        return []
    pairs = list(itertools.combinations(range(min(m, MOST_OBJECTIVES)), 2))
    return [*(_pair(contents, prediction, x, y) for x, y in pairs), _growth(contents)]


def _pair(contents: Contents, prediction: Prediction, x: int, y: int) -> Figure:
    front, scored = prediction.front, contents.scored
    predicted: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "x": rounded(front.values[:, x]),
        "y": rounded(front.values[:, y]),
        "marker": {"symbol": "circle-open", "size": 7, "color": "var(--low)", "line": {"width": 1.5}},
        "hovertemplate": "predicted<br>%{x:.3f}, %{y:.3f}<extra></extra>",
    }
    for axis, k in (("error_x", x), ("error_y", y)):
        predicted[axis] = {
            "type": "data",
            "symmetric": False,
            "array": rounded(front.high[:, k] - front.values[:, k]),
            "arrayminus": rounded(front.values[:, k] - front.low[:, k]),
            "thickness": 0.8,
            "width": 0,
            "color": "var(--band)",
        }
    real = {
        "type": "scatter",
        "mode": "markers",
        "x": rounded(scored.values[scored.front, x]),
        "y": rounded(scored.values[scored.front, y]),
        "text": [contents.title(int(number)) for number in scored.numbers[scored.front]],
        "marker": {"size": 9, "color": "var(--front)", "line": {"width": 1.5, "color": "var(--card)"}},
        "hovertemplate": "<b>%{text}</b>, scored<br>%{x:.3f}, %{y:.3f}<extra></extra>",
    }
    names = prediction.objectives
    return {
        "name": f"{names[y]} against {names[x]}",
        "data": [predicted, real],
        "layout": layout(330, names[x], names[y]),
    }


def _growth(contents: Contents) -> Figure:
    """Return the hypervolume above the worst score of each objective, relative to the box that they all span."""
    scored = contents.scored
    low, high = scored.values.min(axis=0), scored.values.max(axis=0)
    scaled = (scored.values - low) / np.where(high > low, high - low, 1.0)
    scaled[scored.violations > 0.0] = 0.0
    last = np.unique(np.linspace(1, len(scaled), MOST_STEPS).round().astype(int))
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": scored.evaluation[last - 1].tolist(),
        "y": rounded(np.array([hypervolume(scaled[:n]) for n in last])),
        "line": {"shape": "hv", "width": 2.2, "color": "var(--front)"},
        "hovertemplate": "%{x} evaluations<br>hypervolume %{y:.3f}<extra></extra>",
    }
    frame = layout(330, "evaluations", "share of the box that all scores span")
    return {"name": "hypervolume of what was scored", "data": [line], "layout": frame}


def hypervolume(values: NDArray[np.float64]) -> float:
    """Return the volume that (n, m) values, at least 0, dominate above 0."""
    import moocore

    return float(moocore.hypervolume(values, ref=np.zeros(values.shape[1]), maximise=True))
