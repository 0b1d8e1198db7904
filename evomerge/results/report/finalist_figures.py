"""Estimates on search items against scores on held-out items."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.results.report.contents import Contents
from evomerge.results.report.finalists import NORMAL_95, BothScores, both_scores, finalists
from evomerge.results.report.marks import FRONT, STAR, Figure, Trace, bars, layout, points

Numbers = NDArray[np.float64]


def finalist_figures(contents: Contents) -> list[Figure]:
    """Return a figure of the mean of the objectives and, of several, one of each; none before `verify`."""
    found = finalists(contents)
    if not len(found.numbers):
        return []
    winners = [winner.candidate for winner in contents.verification.winners] if contents.verification else []
    tested = both_scores(contents, "test", winners if found.split == "validation" else [])
    several = len(contents.scored.objectives) > 1
    quantities: list[tuple[str, int | None]] = [("mean of all objectives", None)] if several else []
    quantities += [(name, k) for k, name in enumerate(contents.scored.objectives)]
    return [_figure(contents, name, k, (found, tested)) for name, k in quantities]


def _figure(contents: Contents, name: str, k: int | None, groups: tuple[BothScores, BothScores]) -> Figure:
    found, tested = groups
    told = ((found, FRONT, "finalist"), (tested, STAR | {"size": 13}, "picked, on test items"))
    traces = [_points(contents, group, k, marker) | {"name": who} for group, marker, who in told if len(group.numbers)]
    low, high = _reach(traces)
    frame = layout(330, "estimate on search items", "held-out items" if len(tested.numbers) else f"{found.split} items")
    frame["xaxis"] |= {"range": [low, high]}
    frame["yaxis"] |= {"range": [low, high]}
    line = {"dash": "dot", "width": 1.2, "color": "var(--muted)"}
    frame["shapes"] = [{"type": "line", "x0": low, "y0": low, "x1": high, "y1": high, "line": line, "layer": "below"}]
    return {"name": name, "data": traces, "layout": frame}


def _reach(traces: Sequence[Trace]) -> tuple[float, float]:
    """Return the range that holds every point with its bars, on both axes alike."""
    ends = [
        np.array(t[a]) + sign * np.array(t[f"error_{a}"]["array"]) for t in traces for a in "xy" for sign in (-1, 1)
    ]
    low, high = float(np.concatenate(ends).min()), float(np.concatenate(ends).max())
    margin = 0.04 * (high - low) or 0.1
    return low - margin, high + margin


def _points(contents: Contents, group: BothScores, k: int | None, marker: dict[str, Any]) -> Trace:
    searched, x_error = _of(group.searched, group.searched_stderrs, k)
    held_out, y_error = _of(group.held_out, group.held_out_stderrs, k)
    kinds = ["estimated" if contents.scored.estimated[contents.scored.index(n)] else "full" for n in group.numbers]
    told = zip(searched, x_error, held_out, y_error, kinds, strict=True)
    return points(
        searched,
        held_out,
        marker,
        error_x=bars(NORMAL_95 * x_error, marker["color"]),
        error_y=bars(NORMAL_95 * y_error, marker["color"]),
        text=[html.escape(contents.title(number)) for number in group.numbers.tolist()],
        customdata=[[f"{x:.3f} ± {dx:.3f} ({kind})", f"{y:.3f} ± {dy:.3f}"] for x, dx, y, dy, kind in told],
        hovertemplate="<b>%{text}</b><br>search items %{customdata[0]}"
        f"<br>{group.split} items %{{customdata[1]}}<extra></extra>",
    )


def _of(values: Numbers, stderrs: Numbers, k: int | None) -> tuple[Numbers, Numbers]:
    """Return an objective's values and standard errors, or those of the mean of all."""
    if k is not None:
        return values[:, k], stderrs[:, k]
    return values.mean(axis=1), np.sqrt((stderrs**2).sum(axis=1)) / values.shape[1]
