"""Tables and pictures of a notebook."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

from evomerge.archive import Archive


def table_html(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table of texts."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def figure_html(archive: Path) -> str:
    """Return the picture of an archive's front: a PNG, or where there is no matplotlib plotly's, from the network."""
    from evomerge.results.report.contents import read_contents
    from evomerge.results.report.figures import front_figures
    from evomerge.results.report.plots import Plots
    from evomerge.results.report.png import can_draw, save_png

    if not can_draw():
        shown: str = Plots(archive).front().to_html(full_html=False, include_plotlyjs="cdn")
        return shown
    with contextlib.closing(Archive.read(archive)) as opened:
        figures = front_figures(read_contents(opened))
    with TemporaryDirectory() as directory:
        png = save_png(figures, Path(directory) / "front.png").read_bytes()
    data = base64.b64encode(png).decode()
    return f'<img alt="Pareto front on search items" style="max-width: 100%" src="data:image/png;base64,{data}">'
