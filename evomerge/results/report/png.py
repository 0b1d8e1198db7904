"""Figures as PNG, for papers and READMEs: light, 200 dpi, drawn by matplotlib without a browser."""

from __future__ import annotations

import html
import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evomerge.results.report.marks import LIGHT, Figure, Trace, grid, in_light
from evomerge.visible import visible_data

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

NO_PNG = "no PNGs: they need matplotlib, `pip install 'evomerge[png]'`"
_PT = 0.72  # points per pixel, at 100 pixels an inch
_STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # names may hold dollar signs
    "font.size": 12.5 * _PT,
    "axes.edgecolor": LIGHT["line"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.labelsize": 13 * _PT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.xmargin": 0.07,
    "axes.ymargin": 0.09,
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.7,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": LIGHT["ink"],
    "figure.facecolor": LIGHT["card"],
    "savefig.dpi": 200,
}
# plotly's symbol -> matplotlib's marker, and how much wider plotly draws it
_MARKERS = {"circle": ("o", 1.0), "diamond": ("D", 0.78), "square": ("s", 1.0), "triangle-up": ("^", 1.1)}
_MARKERS |= {"star": ("*", 1.45)}
_STEPS: Mapping[str | None, Any] = {"hv": "post", "vh": "pre"}


def can_draw() -> bool:
    """Return whether matplotlib is there; nothing else in a report needs it."""
    return importlib.util.find_spec("matplotlib") is not None


def save_pngs(sets: Mapping[str, Sequence[Figure]], directory: Path) -> list[Path]:
    """Write NAME.png for every set of figures that is not empty; needs matplotlib (see `can_draw`)."""
    directory.mkdir(parents=True, exist_ok=True)
    return [save_png(visible_data(figures), directory / f"{name}.png") for name, figures in sets.items() if figures]


def save_png(figures: Sequence[Figure], path: Path) -> Path:
    """Write figures (at least one) side by side as one picture, replaced as a whole."""
    import matplotlib as mpl

    partial = path.with_suffix(".partial")
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Names may be in a script that the bundled font lacks: a box in the picture, not a warning to the user.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        draw(figures).savefig(partial, format="png")
    return partial.replace(path)


def draw(figures: Sequence[Figure]) -> Drawing:
    """Return matplotlib's drawing of figures; made without pyplot, which keeps global state."""
    from matplotlib.figure import Figure as Drawing

    rows, columns, heights = grid(figures)
    width = 720 if columns == 1 else 380 * columns
    drawing = Drawing(figsize=(width / 100, sum(heights) / 100))
    drawing.set_layout_engine("constrained", w_pad=0.09, h_pad=0.07)
    axes = list(drawing.subplots(rows, columns, squeeze=False, height_ratios=heights).flat)
    for ax, figure in zip(axes, in_light(list(figures)), strict=False):
        for k, trace in enumerate(figure["data"]):
            if trace["type"] == "heatmap":
                _draw_heat_map(ax, trace)
            else:
                _draw_line(ax, trace, figure["data"][k - 1], 2 + k / 10)
                _draw_markers(ax, trace, 2 + k / 10)
        _draw_frame(ax, figure["layout"])
        ax.set_title(html.unescape(figure.get("name", "")), loc="left", fontsize=13 * _PT, fontweight="bold")
    for ax in axes[len(figures) :]:
        ax.set_visible(False)
    named = {name: handle for ax in axes for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    if len(named) > 1:
        style: dict[str, Any] = {
            "frameon": False,
            "handletextpad": 0.2,
            "columnspacing": 1.4,
            "labelcolor": LIGHT["muted"],
        }
        drawing.legend(
            named.values(), named.keys(), loc="outside upper left", ncols=_across(list(named), width), **style
        )
    return drawing


def _across(names: Sequence[str], width: int) -> int:
    """Return how many names a legend has side by side: all, or half of them where they would not fit."""
    wide = sum(6.6 * (len(name) + 6) for name in names) > width  # a letter is about 6.6 pixels wide
    return -(-len(names) // 2) if wide else len(names)


def _draw_line(ax: Axes, trace: Trace, before: Trace, zorder: float) -> None:
    if "lines" not in trace["mode"]:
        return
    style, step = trace["line"], _STEPS.get(trace["line"].get("shape"))
    if "fill" in trace:
        other = before["y"] if trace["fill"] == "tonexty" else 0
        fill: dict[str, Any] = {"color": _colour(trace["fillcolor"]), "linewidth": 0, "zorder": zorder}
        ax.fill_between(trace["x"], trace["y"], other, step=step, **fill)
    if style["width"]:
        drawn = {**_stroke(style), "alpha": trace.get("opacity"), "zorder": zorder}
        ax.plot(trace["x"], trace["y"], drawstyle=f"steps-{step}" if step else "default", **drawn)


def _draw_markers(ax: Axes, trace: Trace, zorder: float) -> None:
    if "markers" not in trace["mode"]:
        return
    x, y, marker = trace["x"], trace["y"], trace["marker"]
    for axis in "xy":
        if found := trace.get(f"error_{axis}"):
            ends = [found.get("arrayminus", found["array"]), found["array"]]
            bars: dict[str, Any] = {f"{axis}err": ends, "ecolor": _colour(found["color"])}
            ax.errorbar(x, y, fmt="none", elinewidth=found["thickness"] * _PT, zorder=zorder - 0.05, **bars)
    symbol, is_open, _ = marker.get("symbol", "circle").partition("-open")
    shape, wider = _MARKERS[symbol]
    edge = marker.get("line", {"width": 1 if is_open else 0})
    style: dict[str, Any] = {
        "markersize": marker["size"] * wider * _PT,
        "markerfacecolor": "none" if is_open else _colour(marker["color"]),
        "markeredgecolor": _colour(marker["color"] if is_open else edge.get("color", marker["color"])),
        "markeredgewidth": edge["width"] * _PT,
        "alpha": marker.get("opacity"),
    }
    ax.plot(x, y, shape, label=trace.get("name"), zorder=zorder, clip_on=False, **style)
    if "text" in trace["mode"]:
        for at in zip(x, y, trace["text"], trace["textposition"], strict=True):
            _draw_name(ax, *at)


def _draw_name(ax: Axes, x: float, y: float, name: str, place: str) -> None:
    from matplotlib.patheffects import withStroke

    across, along = ("left" in place) - ("right" in place), ("bottom" in place) - ("top" in place)
    aside = (-across * (7 if along == 0 else 3), -along * 6)
    ha, va = ("left", "center", "right")[across + 1], ("bottom", "center", "top")[along + 1]
    halo = [withStroke(linewidth=2.5, foreground=LIGHT["card"])]
    text = html.unescape(name).strip("\u00a0")
    ax.annotate(text, (x, y), aside, textcoords="offset points", ha=ha, va=va, zorder=9, path_effects=halo)


def _draw_heat_map(ax: Axes, trace: Trace) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("genes", trace["colorscale"])
    values = np.array(trace["z"], dtype=np.float64)
    limits: dict[str, Any] = {"vmin": trace["zmin"], "vmax": trace["zmax"], "cmap": colours}
    gaps: dict[str, Any] = {"edgecolors": LIGHT["card"], "linewidth": trace["xgap"] * _PT}
    names = [html.unescape(name) for name in trace["y"]]
    image = ax.pcolormesh(trace["x"], np.arange(len(names) + 1) - 0.5, np.ma.masked_invalid(values), **limits, **gaps)
    ax.set_yticks(range(len(names)), names)
    ax.spines[:].set_visible(False)
    scale = trace["colorbar"]
    bar = ax.figure.colorbar(image, ax=ax, ticks=scale["tickvals"], aspect=12, pad=0.015)
    bar.ax.set_yticklabels([text.strip("\u2007") for text in scale["ticktext"]])
    bar.outline.set_visible(False)


def _draw_frame(ax: Axes, layout: dict[str, Any]) -> None:
    for axis, name in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        said = layout[f"{name}axis"]
        axis.set_label_text(html.unescape(said["title"]["text"]))
        if "tickvals" in said:
            axis.set_ticks(said["tickvals"], [html.unescape(text) for text in said["ticktext"]])
        if "tickformat" in said or "ticksuffix" in said:
            axis.set_major_formatter("{x:,.0f}" + said.get("ticksuffix", ""))
        if not said.get("showgrid", True):
            axis.grid(visible=False)
        if "range" in said:
            (ax.set_xlim if name == "x" else ax.set_ylim)(*said["range"])
        if said.get("autorange") == "reversed":
            axis.set_inverted(True)
    for shape in layout.get("shapes", ()):
        ends = [shape["x0"], shape["x1"]], [shape["y0"], shape["y1"]]
        ax.plot(*ends, transform=_coordinates(ax, shape), zorder=1.5, **_stroke(shape["line"]))
    for said in layout.get("annotations", ()):
        aside = (-3, 3 if said["yanchor"] == "bottom" else -3)
        style = {"color": said["font"]["color"], "fontsize": said["font"]["size"] * _PT, "zorder": 9}
        style |= {"ha": said["xanchor"], "va": said["yanchor"], "textcoords": "offset points"}
        ax.annotate(
            html.unescape(said["text"]), (said["x"], said["y"]), aside, xycoords=_coordinates(ax, said), **style
        )


def _coordinates(ax: Axes, said: dict[str, Any]) -> Any:
    """Return what x and y of a shape or text mean: data, or along one axis a share of the panel."""
    if "domain" in said.get("xref", "x"):
        return ax.get_yaxis_transform()
    return ax.get_xaxis_transform() if "domain" in said.get("yref", "y") else ax.transData


def _stroke(line: dict[str, Any]) -> dict[str, Any]:
    return {
        "color": _colour(line["color"]),
        "linewidth": line["width"] * _PT,
        "linestyle": ":" if line.get("dash") == "dot" else "-",
    }


def _colour(colour: str) -> Any:
    """Return a colour as matplotlib knows it: hexadecimal, or the four numbers of `rgba(r, g, b, alpha)`."""
    if not colour.startswith("rgba("):
        return colour
    *rgb, alpha = map(float, colour[5:-1].split(","))
    return (*(part / 255 for part in rgb), alpha)
