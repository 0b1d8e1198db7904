"""The words that every figure is said in: a plotly figure as plain data, with colours by name.

A figure is described once, as `{"name", "data", "layout"}`, with colours `var(--name)` of `LIGHT` and `DARK`. Three
back-ends draw it: the page (the browser resolves the names, for light and dark), notebooks (`plots`) and PNG (`png`).
They know what is made here: scatter traces with markers, lines, fills, error bars and texts; heat maps; lines and texts
in the layout. Importing this loads nothing heavy.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fitness.costs import Cost

# The colours, one meaning each: the page takes them as CSS variables, notebooks and PNGs as they are.
LIGHT: Mapping[str, str] = {
    "paper": "#fbfaf6",
    "card": "#ffffff",
    "ink": "#1f1e1c",
    "muted": "#6d6a64",
    "line": "#e5e1d8",
    "dominated": "#bdb8ad",
    "front": "#2c5fc9",
    "knee": "#c97a00",
    "winner": "#c4321d",
    "landmark": "#1f1e1c",
    "band": "rgba(44, 95, 201, 0.16)",
    "low": "#14807a",
    "middle": "#f1ede3",
    "high": "#b4531a",
    "worse": "#c4321d",
    "hopeless": "#7c4dab",
    "rung": "#14807a",
    "screen": "#a07400",
}
DARK: Mapping[str, str] = {
    "paper": "#131316",
    "card": "#1b1b1f",
    "ink": "#ecebe7",
    "muted": "#a09d96",
    "line": "#333338",
    "dominated": "#5d5c62",
    "front": "#7fa6ff",
    "knee": "#f0ae3f",
    "winner": "#ff7d69",
    "landmark": "#ecebe7",
    "band": "rgba(127, 166, 255, 0.20)",
    "low": "#4fb9b0",
    "middle": "#2b2b30",
    "high": "#e68a4d",
    "worse": "#ff7d69",
    "hopeless": "#b893e6",
    "rung": "#4fb9b0",
    "screen": "#d9ad3c",
}
_BY_VARIABLE = {
    "var(--sans)": "system-ui, Segoe UI, Roboto, Helvetica Neue, Arial, sans-serif",
    **{f"var(--{name})": colour for name, colour in LIGHT.items()},
}

Figure = dict[str, Any]
Trace = dict[str, Any]

DOMINATED = {"color": "var(--dominated)", "size": 6, "opacity": 0.7}
FRONT = {"color": "var(--front)", "size": 9, "line": {"width": 1.5, "color": "var(--card)"}}
STAR = {"color": "var(--winner)", "size": 15, "symbol": "star", "line": {"width": 1.5, "color": "var(--card)"}}
KNEE = {"color": "var(--knee)", "size": 17, "symbol": "circle-open", "line": {"width": 3}}


def points(x: ArrayLike, y: ArrayLike, marker: dict[str, Any], **more: Any) -> Trace:
    """Return (n,) points; `name` among `more` is what a legend calls them."""
    return {"type": "scatter", "mode": "markers", "x": rounded(x), "y": rounded(y), "marker": marker, **more}


def line(x: ArrayLike, y: ArrayLike, colour: str = "var(--front)", **style: Any) -> Trace:
    """Return a line through (n,) points that says nothing when it is hovered; `style` is plotly's `line`."""
    drawn = {"width": 2.2, "color": colour, **style}
    return {"type": "scatter", "mode": "lines", "x": rounded(x), "y": rounded(y), "line": drawn, "hoverinfo": "skip"}


def bars(up: ArrayLike, colour: str, *, down: ArrayLike | None = None, thickness: float = 1) -> dict[str, Any]:
    """Return error bars that reach (n,) up, and as far down unless told."""
    found = {"type": "data", "array": rounded(up), "thickness": thickness, "width": 0, "color": colour}
    return found if down is None else found | {"symmetric": False, "arrayminus": rounded(down)}


def level(value: float, colour: str, *, along: str = "x") -> dict[str, Any]:
    """Return a dotted line through the whole panel, along x or y."""
    across = "y" if along == "x" else "x"
    ends = {f"{along}ref": f"{along} domain", f"{along}0": 0, f"{along}1": 1, f"{across}0": value, f"{across}1": value}
    return {"type": "line", **ends, "line": {"dash": "dot", "width": 1.2, "color": colour}, "layer": "below"}


def words(x: float, y: float, text: str, **more: Any) -> dict[str, Any]:
    """Return a text whose lower right corner is at a point."""
    font = {"size": 12, "color": "var(--muted)"}
    return {"x": x, "y": y, "text": text, "xanchor": "right", "yanchor": "bottom", "showarrow": False} | {
        "font": font | more.pop("font", {}),
        **more,
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


def in_nature(figure: Figure, **costs: Cost | None) -> Figure:
    """Return a figure whose axes `x` and `y` are costs as they are, less of it where more of another quantity is."""
    layout, data = dict(figure["layout"]), [dict(trace) for trace in figure["data"]]
    for axis in [axis for axis, cost in costs.items() if cost is not None]:
        frame = layout[f"{axis}axis"]
        upside_down = {"range": [-end for end in frame["range"]]} if "range" in frame else {"autorange": "reversed"}
        layout[f"{axis}axis"] = frame | upside_down
        for trace in data:
            trace[axis] = [0.0 - value for value in trace[axis]]
            bars = trace.get(f"error_{axis}", {})
            if "arrayminus" in bars:
                trace[f"error_{axis}"] = bars | {"array": bars["arrayminus"], "arrayminus": bars["array"]}
        for kind, ends in (("shapes", (f"{axis}0", f"{axis}1")), ("annotations", (axis,))):
            layout[kind] = [
                said if "domain" in said.get(f"{axis}ref", axis) else said | {end: -said[end] for end in ends}
                for said in layout.get(kind, ())
            ]
    return figure | {"data": data, "layout": layout}


def grid(figures: Sequence[Figure]) -> tuple[int, int, list[int]]:
    """Return how many rows and columns show figures together, at most three across, and each row's height in pixels."""
    n = len(figures)
    maps = any(trace["type"] == "heatmap" for figure in figures for trace in figure["data"])
    columns = 1 if maps else {4: 2}.get(n, min(3, n))
    heights = [max(f["layout"]["height"] for f in figures[at : at + columns]) for at in range(0, n, columns)]
    return len(heights), columns, [height + 40 for height in heights]  # room for titles


def rounded(values: ArrayLike) -> list[Any]:
    """Return (n,) numbers to five digits, which keeps the page small; whole numbers stay whole."""
    found = np.asarray(values)
    return found.tolist() if found.dtype.kind in "iu" else [float(f"{value:.5g}") for value in found.tolist()]


def in_light(figure: Any) -> Any:
    """Return plain data with every colour's name, `var(--name)`, replaced by that colour of the light palette."""
    if isinstance(figure, dict):
        return {key: in_light(value) for key, value in figure.items()}
    if isinstance(figure, list):
        return [in_light(value) for value in figure]
    return _BY_VARIABLE.get(figure, figure) if isinstance(figure, str) else figure
