"""A run's figures for a notebook."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomerge.archive import Archive
from evomerge.results.predicted_front import read_prediction
from evomerge.results.report.contents import Contents, read_contents
from evomerge.results.report.details import gene_figures
from evomerge.results.report.figures import front_figures, held_out_figures, predicted_figures
from evomerge.results.report.finalists import finalist_figures
from evomerge.results.report.marks import LIGHT, Figure, grid, in_light, layout, words
from evomerge.results.report.progress_figures import item_figures, progress_figures
from evomerge.visible import visible, visible_data

if TYPE_CHECKING:
    import plotly.graph_objects as go

Describe = Callable[[Archive, Contents], list[Figure]]
_SCORED, _VERIFIED = "nothing is scored yet", "not verified yet: run `evomerge verify`"


class Plots:
    """Figures of a run, finished or running, that draw in a notebook as they are.

    Every call reads the archive anew. Where there is nothing to show, a figure says why.

        plots = Plots(Path("runs/mine/archive.sqlite"))
        plots.front().show()

    Every method raises `ArchiveError` when the archive cannot be read.
    """

    def __init__(self, archive: Path) -> None:
        self._path = archive

    def front(self) -> go.Figure:
        """Return the Pareto front on search items; several panels from three objectives on."""
        return self._drawn(lambda _, contents: front_figures(contents), _SCORED)

    def history(self) -> go.Figure:
        """Return the best so far: hypervolume and mean where there are several objectives, and each objective."""
        return self._drawn(lambda _, contents: progress_figures(contents), _SCORED)

    def genes(self, candidate: int | None = None) -> go.Figure:
        """Return a candidate's parameters over depth; without a number the winner's, or the knee's before `verify`."""
        return self._drawn(lambda archive, contents: gene_figures(archive, contents, candidate), "no numbers to draw")

    def held_out(self) -> go.Figure:
        """Return every model's difference to the best parent on test items, with 95 % intervals."""
        return self._drawn(lambda _, contents: held_out_figures(contents), _VERIFIED)

    def finalists(self) -> go.Figure:
        """Return what search items promised of the finalists, against what held-out items say."""
        return self._drawn(lambda _, contents: finalist_figures(contents), _VERIFIED)

    def items(self) -> go.Figure:
        """Return how many items candidates answered, and where they were stopped."""
        return self._drawn(lambda _, contents: item_figures(contents), "every candidate answered every search item")

    def predicted(self) -> go.Figure:
        """Return the front that the surrogates of the optimiser `map` predict, beside the scored one."""
        otherwise = "no front is predicted: that needs the optimiser `map` and several objectives"
        return self._drawn(lambda archive, contents: predicted_figures(contents, read_prediction(archive)), otherwise)

    def _drawn(self, describe: Describe, otherwise: str) -> go.Figure:
        with contextlib.closing(Archive.read(self._path)) as archive:
            figures = visible_data(describe(archive, read_contents(archive)))
        return in_notebook(figures) if figures else _sentence(otherwise)


def in_notebook(figures: Sequence[Figure]) -> go.Figure:
    """Return figures (at least one) as one of plotly's, in the light palette; names shared by panels are told once."""
    from plotly.subplots import make_subplots

    rows, columns, heights = grid(figures)
    gap = 0.0 if rows == 1 else min(0.12 if columns > 1 else 0.2, 80 / sum(heights))
    spacing = {"vertical_spacing": gap, "horizontal_spacing": 0.2 / columns}
    drawn = make_subplots(rows, columns, row_heights=heights, **spacing)
    told: set[str] = set()
    for k, figure in enumerate(in_light(list(figures))):
        at, said = {"row": k // columns + 1, "col": k % columns + 1}, figure["layout"]
        drawn.update_xaxes(said["xaxis"], **at)
        drawn.update_yaxes(said["yaxis"], **at)
        for trace in figure["data"]:
            name = trace.get("name", "")
            drawn.add_trace(trace | {"legendgroup": name, "showlegend": bool(name) and name not in told}, **at)
            told |= {name}
        for shape in said.get("shapes", ()):
            drawn.add_shape(shape, **at)
        for text in (*said.get("annotations", ()), _title(figure.get("name", ""))):
            drawn.add_annotation(text, **at)
    drawn.update_layout(_sheet(sum(heights) + 60, len(told - {""}) > 1))
    for trace, axis in zip(drawn.data, drawn.select_yaxes(), strict=False):
        if trace.type == "heatmap":  # one below the other: each has its scale beside it
            low, high = axis.domain
            trace.update(colorbar={"y": (low + high) / 2, "len": high - low})
    return drawn


def _title(name: str) -> dict[str, Any]:
    at = {"xref": "x domain", "x": 0, "xanchor": "left", "yref": "y domain", "y": 1, "yanchor": "bottom"}
    return words(0, 1, f"<b>{html.escape(visible(name))}</b>", font={"size": 13, "color": LIGHT["ink"]}) | at


def _sentence(text: str) -> go.Figure:
    import plotly.graph_objects as go

    hidden = {
        "xaxis": {"visible": False},
        "yaxis": {"visible": False},
        "annotations": [{"text": text, "showarrow": False}],
    }
    return go.Figure(layout=_sheet(160, False) | hidden)


def _sheet(height: int, showlegend: bool) -> Figure:
    """Return the layout around panels."""
    own = {key: value for key, value in in_light(layout(height, None, None)).items() if "axis" not in key}
    return own | {
        "template": "none",
        "paper_bgcolor": LIGHT["card"],
        "showlegend": showlegend,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
        "margin": {"l": 20, "r": 20, "t": 60, "b": 40},
    }
