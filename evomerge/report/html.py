"""The report: one HTML file that needs neither a network nor a server."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evomerge.archive import Archive
from evomerge.errors import is_installed
from evomerge.predicted_front import Prediction, read_prediction
from evomerge.report.contents import Contents, read_contents
from evomerge.report.details import details
from evomerge.report.figures import FEW_POINTS, front_figure, progress_figure
from evomerge.report.finalist_figures import finalist_figures
from evomerge.report.finalists import finalists_in_words
from evomerge.report.held_out import held_out_table
from evomerge.report.images import save_images
from evomerge.report.item_figures import item_figures, stop_legend
from evomerge.report.palette import DARK, LIGHT, css_variables
from evomerge.report.panels import dominated, panels, progress
from evomerge.report.predicted_figures import predicted_figures
from evomerge.report.verdict import headline
from evomerge.screen_agreement import ScreenAgreement, read_screen_agreement


def report(archive: Archive, out_file: Path, *, png_dir: Path | None) -> Path:
    """Write the report of a campaign, finished or running, and its main figures as PNG when a directory is given.

    Args:
        archive: only read.
        out_file: replaced as a whole: whoever reloads it never sees half a page.
        png_dir: made when missing; None for no PNGs, and there are none without matplotlib (the extra `png`).

    Returns:
        `out_file`.

    Raises:
        ArchiveError: the archive cannot be read.
        OSError: a file cannot be written.
    """
    contents = read_contents(archive)
    page = _page(contents, details(archive, contents), read_prediction(archive), read_screen_agreement(archive))
    out_file.parent.mkdir(parents=True, exist_ok=True)
    partial = out_file.with_name(f".{out_file.name}.{os.getpid()}.partial")
    try:
        partial.write_text(page, encoding="utf-8")
        partial.replace(out_file)
    finally:
        partial.unlink(missing_ok=True)
    if png_dir is not None and is_installed("matplotlib"):
        save_images(archive, contents, png_dir)
    return out_file


def _page(
    contents: Contents,
    candidates: Sequence[dict[str, Any]],
    prediction: Prediction | None,
    screen: ScreenAgreement | None,
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("evomerge", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"duration": duration, "moment": moment, "signed": signed}
    here = Path(__file__).parent
    still = {
        "predicted": [] if prediction is None else predicted_figures(contents, prediction),
        "items": item_figures(contents),
        "finalists": finalist_figures(contents),
    }
    return environment.get_template("page.html.jinja").render(
        contents=contents,
        headline=headline(contents),
        held_out=held_out_table(contents.verification) if contents.verification else None,
        sheet=(here / "page.css").read_text(encoding="utf-8"),
        light=css_variables(LIGHT),
        dark=css_variables(DARK),
        plotly=get_plotlyjs(),
        script=(here / "page.js").read_text(encoding="utf-8"),
        data=for_script(_data(contents, candidates) | {"still": still}),
        prediction=prediction,
        screen="" if screen is None else screen.in_words,
        still=still,
        reasons=stop_legend(contents),
        gap=finalists_in_words(contents),
        n_panels=len(panels(contents.scored)) if len(contents.scored.numbers) else 0,
        n_embedded=len(candidates),
        few_points=FEW_POINTS,
    )


def _data(contents: Contents, candidates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the script needs: the figures, every drawn point's objectives, and the candidates in full."""
    scored = contents.scored
    shown = panels(scored) if len(scored.numbers) else []
    drawn = [*dominated(scored, len(shown)).tolist(), *scored.front.tolist()] if shown else []
    points = {
        int(scored.numbers[i]): [
            [float(f"{v:.5g}"), float(f"{e:.5g}")] for v, e in zip(scored.values[i], scored.stderrs[i], strict=True)
        ]
        for i in drawn
    }
    return {
        "front": [front_figure(contents, panel, len(shown)) for panel in shown],
        "progress": [progress_figure(p) for p in progress(contents)],
        "objectives": scored.objectives,
        "points": points,
        "estimated": [number for number in points if scored.estimated[scored.index(number)]],
        "candidates": {detail["number"]: detail for detail in candidates},
        "order": [detail["number"] for detail in candidates],
    }


def for_script(data: Any) -> str:
    """Return JSON that may stand inside a <script>: no `<`, so nothing in it can close the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    escapes = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    return text.translate({ord(letter): escape for letter, escape in escapes.items()})


def signed(value: float) -> str:
    """Return a difference with its sign, a real minus."""
    return f"{value:+.3f}".replace("-", "−")


def duration(hours: float) -> str:
    """Return a time span in words, to the unit that matters."""
    seconds = round(hours * 3600)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def moment(epoch: float) -> str:
    """Return seconds since the epoch as a date and time in UTC."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M UTC")
