"""The report's main figures as PNG, for papers and READMEs: light, 200 dpi, drawn without a browser."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evomerge.archive import Archive
from evomerge.report.contents import Contents
from evomerge.report.details import gene_maps_of, shown_first
from evomerge.report.finalists import finalists
from evomerge.report.gene_map import GeneMap
from evomerge.report.item_images import draw_finalists, draw_items, draw_stops
from evomerge.report.labels import label_places, shortened, shortened_row
from evomerge.report.palette import LIGHT
from evomerge.report.panels import Panel, dominated, panels, progress
from evomerge.verification.result import Verification

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # names may hold dollar signs
    "font.size": 9.5,
    "axes.edgecolor": LIGHT["line"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.7,
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": LIGHT["ink"],
    "figure.facecolor": "#ffffff",
    "savefig.dpi": 200,
}


def save_images(archive: Archive, contents: Contents, directory: Path) -> list[Path]:
    """Write those figures that there is something to show for.

    They are pareto.png, best_so_far.png, genes.png, held_out.png, finalists.png and items.png.

    Raises:
        OSError: the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    saved: list[Path] = []
    with _styled():
        if len(contents.scored.numbers):
            saved.append(_save(_front(contents), directory / "pareto.png"))
            saved.append(_save(_progress(contents), directory / "best_so_far.png"))
        first = shown_first(contents)
        maps = gene_maps_of(archive, contents, first) if first is not None else []
        if first is not None and maps:
            saved.append(_save(_genes(maps, contents.title(first)), directory / "genes.png"))
        if contents.verification is not None:
            saved.append(_save(_differences(contents.verification), directory / "held_out.png"))
        chosen = finalists(contents)
        if len(chosen.numbers):
            figure, (ax,) = _new_figure(4.4, 4.2)
            draw_finalists(ax, chosen)
            saved.append(_save(figure, directory / "finalists.png"))
        items = contents.items
        if items is not None and items.says_something:
            raced = not contents.scored.whole.all()
            figure, axes = _new_figure(8.2 if raced else 4.4, 3.4, columns=2 if raced else 1)
            draw_items(axes[0], items)
            if raced:
                draw_stops(axes[1], contents, items)
            saved.append(_save(figure, directory / "items.png"))
    return saved


@contextmanager
def _styled() -> Iterator[None]:
    import matplotlib as mpl

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Names may be in a script that the bundled font lacks: a box in the picture, not a warning to the user.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _save(figure: Figure, path: Path) -> Path:
    partial = path.with_suffix(".partial")
    figure.savefig(partial, format="png")
    return partial.replace(path)


def _new_figure(width: float, height: float, *, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure (inches) with its axes, row by row; made without pyplot, which keeps global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.flat)


def _grid(n: int) -> tuple[int, int]:
    columns = min(3, n)
    return -(-n // columns), columns


def _front(contents: Contents) -> Figure:
    shown = panels(contents.scored)
    rows, columns = _grid(len(shown))
    size = (7.2, 4.6) if len(shown) == 1 else (3.7 * columns, 3.5 * rows)
    figure, axes = _new_figure(*size, rows=rows, columns=columns)
    for ax, panel in zip(axes, shown, strict=False):
        _draw_panel(ax, contents, panel, len(shown))
    for ax in axes[len(shown) :]:
        ax.set_visible(False)
    return figure


def _draw_panel(ax: Axes, contents: Contents, panel: Panel, n_panels: int) -> None:
    scored = contents.scored
    x, y, efficient = panel.x.values, panel.y.values, scored.front
    rest = dominated(scored, n_panels)
    ax.plot(x[rest], y[rest], "o", markersize=3.5, color=LIGHT["dominated"], alpha=0.7, markeredgewidth=0)
    if panel.is_front:
        order = efficient[np.argsort(x[efficient], kind="stable")]
        ax.step(x[order], y[order], where="pre", color=LIGHT["front"], linewidth=1, alpha=0.55)
    errors: dict[str, Any] = {
        f"{k}err": a.stderrs[efficient] for k, a in (("x", panel.x), ("y", panel.y)) if a.stderrs is not None
    }
    bars: dict[str, Any] = {
        "fmt": "o",
        "markersize": 5.5,
        "color": LIGHT["front"],
        "ecolor": "#c9d6f1",
        "elinewidth": 1.4,
    }
    ax.errorbar(x[efficient], y[efficient], **errors, **bars)
    _draw_landmarks(ax, contents, panel)
    if scored.knee is not None and len(scored.objectives) > 1:
        ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": LIGHT["knee"], "markeredgewidth": 2}
        ax.plot(x[scored.knee], y[scored.knee], "o", markersize=11, label="knee", **ring)
    winner = None if contents.verification is None else scored.index(contents.verification.winner)
    if winner is not None:
        star: dict[str, Any] = {
            "color": LIGHT["winner"],
            "markeredgecolor": "white",
            "label": "picked on validation items",
        }
        ax.plot(x[winner], y[winner], "*", markersize=14, **star)
    ax.set_xlabel(panel.x.name)
    ax.set_ylabel(panel.y.name)
    ax.margins(0.1)
    if ax.get_legend_handles_labels()[0] and n_panels == 1:
        ax.legend(frameon=False, loc="lower left")


def _draw_landmarks(ax: Axes, contents: Contents, panel: Panel) -> None:
    scored = contents.scored
    named = [(c, i) for c in contents.landmarks if (i := scored.index(c.number)) is not None]
    xy = np.column_stack([panel.x.values, panel.y.values])
    names = [shortened(str(c.label)) for c, _ in named]
    places = label_places(xy[[i for _, i in named]], names, xy[scored.front])
    for (candidate, i), name, place in zip(named, names, places, strict=True):
        fill = LIGHT["landmark"] if candidate.number in contents.parents else "white"
        ax.plot(*xy[i], "D", markersize=6, markerfacecolor=fill, markeredgecolor=LIGHT["landmark"], zorder=4)
        across, along = ("left" in place) - ("right" in place), ("bottom" in place) - ("top" in place)
        aside = (-across * (7 if along == 0 else 3), -along * 6)
        ha, va = ("left", "center", "right")[across + 1], ("bottom", "center", "top")[along + 1]
        ax.annotate(name, xy[i], xytext=aside, textcoords="offset points", ha=ha, va=va, zorder=5)


def _progress(contents: Contents) -> Figure:
    found = progress(contents)
    rows, columns = _grid(len(found))
    figure, axes = _new_figure(max(5.0, 3.7 * columns), 2.7 * rows, rows=rows, columns=columns)
    for ax, steps in zip(axes, found, strict=False):
        low, high = steps.values - steps.stderrs, steps.values + steps.stderrs
        ax.fill_between(steps.evaluation, low, high, step="post", color=LIGHT["front"], alpha=0.16, linewidth=0)
        ax.step(steps.evaluation, steps.values, where="post", color=LIGHT["front"], linewidth=1.8)
        if steps.best_parent is not None:
            ax.axhline(steps.best_parent, color=LIGHT["landmark"], linewidth=1, linestyle=":")
        ax.set_title(steps.name, loc="left", fontsize=10)
        ax.set_xlabel("evaluations (dotted: best parent)" if steps.best_parent is not None else "evaluations")
    for ax in axes[len(found) :]:
        ax.set_visible(False)
    return figure


def _genes(maps: Sequence[tuple[GeneMap, tuple[float, float]]], title: str) -> Figure:
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("genes", [LIGHT["low"], LIGHT["middle"], LIGHT["high"]])
    height = sum(0.9 + 0.24 * len(genes.rows) for genes, _ in maps)
    figure, axes = _new_figure(7.6, height, rows=len(maps))
    for ax, (genes, (low, high)) in zip(axes, maps, strict=True):
        ax.grid(visible=False)
        top = max(high, low + 1e-9)
        image = ax.pcolormesh(genes.values, cmap=colours, vmin=low, vmax=top, edgecolors="white", linewidth=1.5)
        ax.set_yticks(np.arange(len(genes.rows)) + 0.5, [shortened_row(row) for row in genes.rows])
        ax.invert_yaxis()
        every = -(-len(genes.columns) // 16)
        ax.set_xticks(np.arange(0, len(genes.columns), every) + 0.5, [c.label for c in genes.columns[::every]])
        ax.spines[:].set_visible(False)
        ax.set_title(f"{genes.parameter} · {title}", loc="left", fontsize=10)
        ax.set_xlabel(genes.axis)
        bar = figure.colorbar(image, ax=ax, aspect=12, pad=0.015)
        bar.outline.set_visible(False)
    return figure


def _differences(verification: Verification) -> Figure:
    rows = [row for row in verification.rows if row.difference is not None]
    figure, (ax,) = _new_figure(7.2, 0.9 + 0.3 * len(rows))
    for at, row in enumerate(rows):
        assert row.difference is not None
        colour = LIGHT["winner"] if row.candidate == verification.winner else LIGHT["front"]
        style: dict[str, Any] = {"color": colour if row.kind == "winner" else LIGHT["muted"]}
        ax.plot([row.difference.low, row.difference.high], [at, at], linewidth=1.8, **style)
        ax.plot(row.difference.value, at, "o", markersize=6, **style)
    ax.axvline(0, color=LIGHT["ink"], linewidth=1)
    ax.set_yticks(range(len(rows)), [row.name for row in rows])
    ax.invert_yaxis()
    ax.margins(y=0.12)
    ax.set_xlabel(f"difference of the mean to the best parent ({verification.best_parent}), 95 % interval, test items")
    return figure
