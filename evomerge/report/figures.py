"""The page's figures as plotly's JSON; colours are `var(--name)` of `palette`, which the page resolves.

They are plain data, so that drawing the page imports nothing heavy and the page can restyle them for light and dark.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evomerge.report.contents import Contents
from evomerge.report.labels import label_places, shortened
from evomerge.report.panels import Axis, Panel, Progress, dominated

Figure = dict[str, Any]
# With more points than this on the front they are drawn small, and error bars would hide what they qualify.
FEW_POINTS = 80


def front_figure(contents: Contents, panel: Panel, n_panels: int) -> Figure:
    """Return one panel of the front; every point's `customdata` starts with its candidate's number."""
    scored = contents.scored
    landmarks = [(c, i) for c in contents.landmarks if (i := scored.index(c.number)) is not None]
    parents = [i for c, i in landmarks if c.number in contents.parents]
    baselines = [i for c, i in landmarks if c.number not in contents.parents]
    named = [*parents, *baselines]
    xy = np.column_stack([panel.x.values, panel.y.values])
    names = [shortened(contents.title(int(scored.numbers[i]))) for i in named]
    places = dict(zip(named, label_places(xy[named], names, xy[scored.front]), strict=True))
    few = len(scored.front) <= FEW_POINTS
    outline = {"width": 1.5 if few else 0.5, "color": "var(--card)"}
    marker: dict[str, Any] = {"color": "var(--front)", "size": 9 if few else 6, "line": outline}
    rest = dominated(scored, n_panels)
    stopped = {"color": "var(--dominated)", "size": 5, "symbol": "circle-open", "opacity": 0.8}
    traces = [
        *([_points(contents, panel, rest[~scored.whole[rest]], stopped)] if not scored.whole.all() else []),
        _points(contents, panel, rest[scored.whole[rest]], {"color": "var(--dominated)", "size": 6, "opacity": 0.7}),
        *([_staircase(panel, scored.front)] if panel.is_front else []),
        _points(contents, panel, scored.front, marker, errors=few),
        _landmarks(contents, panel, parents, "var(--landmark)", places),
        _landmarks(contents, panel, baselines, "var(--card)", places),
    ]
    if scored.knee is not None and len(scored.objectives) > 1:
        ring = {"symbol": "circle-open", "color": "var(--knee)", "size": 17, "line": {"width": 3}}
        traces.append(_points(contents, panel, [scored.knee], ring))
    winner = None if contents.verification is None else scored.index(contents.verification.winner)
    if winner is not None:
        star = {"symbol": "star", "color": "var(--winner)", "size": 16, "line": {"width": 1.5, "color": "var(--card)"}}
        traces.append(_points(contents, panel, [winner], star))
    frame = layout(560 if n_panels == 1 else 330, panel.x.name, panel.y.name)
    if len(scored.objectives) == 1:
        frame["shapes"] = [_level(float(panel.y.values[i]), "var(--muted)") for i in named]
    return {"data": traces, "layout": frame}


def progress_figure(progress: Progress) -> Figure:
    """Return the best so far as steps with a band of one standard error; `by` holds what x may be."""
    low, high = progress.values - progress.stderrs, progress.values + progress.stderrs
    hours, title = _in_unit(progress.hours)
    x = progress.evaluation.tolist()
    edge = {"x": x, "mode": "lines", "line": {"shape": "hv", "width": 0}, "hoverinfo": "skip"}
    hover = "<b>candidate %{customdata}</b><br>%{y:.3f} ± %{text:.3f}<extra></extra>"
    line = {
        "x": x,
        "y": rounded(progress.values),
        "text": rounded(progress.stderrs),
        "customdata": progress.numbers.tolist(),
        "mode": "lines",
        "line": {"shape": "hv", "width": 2.2, "color": "var(--front)"},
        "hovertemplate": hover,
    }
    band = {"fill": "tonexty", "fillcolor": "var(--band)"}
    frame = layout(230, "evaluations", None)
    if progress.best_parent is not None:
        frame["shapes"] = [_level(progress.best_parent, "var(--landmark)")]
        frame["annotations"] = [_level_name(progress.best_parent, "best parent")]
    traces = [{**edge, "y": rounded(low)}, {**edge, **band, "y": rounded(high)}, line]
    by = {"evaluations": {"x": x, "title": "evaluations"}, "time": {"x": rounded(hours), "title": title}}
    data = [{"type": "scatter", **trace} for trace in traces]
    return {"name": progress.name, "data": data, "layout": frame, "by": by}


def _points(
    contents: Contents,
    panel: Panel,
    indices: ArrayLike,
    marker: dict[str, Any],
    *,
    errors: bool = False,
) -> dict[str, Any]:
    at = np.asarray(indices, dtype=np.intp)
    numbers = contents.scored.numbers[at].tolist()
    shown = [f"%{{customdata[{1 + k}]}}" for k in range(2)]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": rounded(panel.x.values[at]),
        "y": rounded(panel.y.values[at]),
        "marker": marker,
        "customdata": [list(row) for row in zip(numbers, _in_words(panel.x, at), _in_words(panel.y, at), strict=True)],
        "hovertemplate": f"<b>%{{text}}</b><br>{shown[1]}<br>{shown[0]}<extra></extra>",
        "text": [html.escape(contents.title(number)) for number in numbers],
    }
    for direction, axis in (("error_x", panel.x), ("error_y", panel.y)):
        if errors and axis.stderrs is not None:
            bar = {"array": rounded(axis.stderrs[at]), "color": "var(--band)", "thickness": 2, "width": 0}
            trace[direction] = bar
    return trace


def _landmarks(
    contents: Contents, panel: Panel, indices: Sequence[int], fill: str, places: dict[int, str]
) -> dict[str, Any]:
    marker = {"symbol": "diamond", "size": 11, "color": fill, "line": {"width": 2, "color": "var(--landmark)"}}
    trace = _points(contents, panel, indices, marker)
    names = [shortened(contents.title(int(contents.scored.numbers[i]))) for i in indices]
    return trace | {
        "mode": "markers+text",
        "hovertext": trace["text"],
        "hovertemplate": trace["hovertemplate"].replace("%{text}", "%{hovertext}"),
        "text": [_apart(html.escape(name), places[i]) for name, i in zip(names, indices, strict=True)],
        "textposition": [places[i] for i in indices],
        "textfont": {"size": 12, "color": "var(--ink)"},
        "cliponaxis": False,
    }


def _apart(name: str, place: str) -> str:
    """Return a label with a space towards its marker, where plotly leaves none."""
    return {"middle right": f"\u00a0{name}", "middle left": f"{name}\u00a0"}.get(place, name)


def _staircase(panel: Panel, front: NDArray[np.intp]) -> dict[str, Any]:
    """Return the border of what the front dominates: points are joined by steps, not by merges nobody scored."""
    order = front[np.argsort(panel.x.values[front], kind="stable")]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": rounded(panel.x.values[order]),
        "y": rounded(panel.y.values[order]),
        "line": {"shape": "vh", "width": 1.5, "color": "var(--front)"},
        "opacity": 0.55,
        "hoverinfo": "skip",
    }


def layout(height: int, x: str | None, y: str | None) -> dict[str, Any]:
    """Return a figure's layout: height in pixels, axis titles, no ornament."""
    axis = {"gridcolor": "var(--line)", "zeroline": False, "automargin": True, "ticks": "", "tickfont": {"size": 11.5}}
    axes = {
        key: {
            **axis,
            "title": {"text": html.escape(title), "standoff": 8, "font": {"size": 13}} if title else {"text": ""},
        }
        for key, title in (("xaxis", x), ("yaxis", y))
    }
    clear = "rgba(0,0,0,0)"
    return {
        **axes,
        "height": height,
        "margin": {"l": 10, "r": 14, "t": 14, "b": 10},
        "paper_bgcolor": clear,
        "plot_bgcolor": clear,
        "font": {"family": "var(--sans)", "size": 13, "color": "var(--muted)"},
        "hoverlabel": {"bgcolor": "var(--card)", "bordercolor": "var(--line)", "font": {"color": "var(--ink)"}},
        "hovermode": "closest",
        "showlegend": False,
    }


def _level(value: float, colour: str) -> dict[str, Any]:
    line = {"dash": "dot", "width": 1.2, "color": colour}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": value, "y1": value, "line": line, "layer": "below"}


def _level_name(value: float, name: str) -> dict[str, Any]:
    at = {"xref": "paper", "x": 1, "xanchor": "right", "y": value, "yanchor": "top"}
    return {**at, "text": name, "showarrow": False, "font": {"size": 11, "color": "var(--muted)"}}


def _in_words(axis: Axis, at: NDArray[np.intp]) -> Iterable[str]:
    name = html.escape(axis.name)
    if axis.stderrs is None:
        return [f"{name} {value:g}" for value in axis.values[at]]
    return [f"{name} {v:.3f} ± {e:.3f}" for v, e in zip(axis.values[at], axis.stderrs[at], strict=True)]


def _in_unit(hours: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    longest = float(hours.max(initial=0.0))
    if longest < 3 / 60:
        return hours * 3600, "seconds of search"
    return (hours * 60, "minutes of search") if longest < 3 else (hours, "hours of search")


def rounded(values: NDArray[np.float64]) -> list[float]:
    """Return (n,) values to five digits, which keeps the page small."""
    return [float(f"{value:.5g}") for value in values.tolist()]
