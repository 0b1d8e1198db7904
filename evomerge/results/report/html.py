"""The report: one HTML file that needs neither a network nor a server."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evomerge.archive import Archive
from evomerge.errors import EvomergeError
from evomerge.results.predicted_front import Prediction, read_prediction
from evomerge.results.report.contents import Contents, read_contents
from evomerge.results.report.details import details, gene_figures
from evomerge.results.report.figures import FEW_POINTS, dominated, front_figures, held_out_figures, predicted_figures
from evomerge.results.report.finalists import finalist_figures, finalists_in_words
from evomerge.results.report.marks import DARK, LIGHT, Figure, css_variables, legend
from evomerge.results.report.png import NO_PNG, can_draw, save_pngs
from evomerge.results.report.progress_figures import item_figures, progress_figures
from evomerge.results.report.verdict import headline, held_out_table
from evomerge.results.screen_agreement import ScreenAgreement, read_screen_agreement
from evomerge.visible import visible, visible_data
from evomerge.whole_file import prepared_file
from fitness.costs import natural, shown, shown_error, titled
from fitness.scores import ObjectiveEstimate


class ReportError(EvomergeError, ValueError):
    """A report cannot be written where it should be."""

    exit_code = 2


def report(archive: Archive, out_file: Path, *, png_dir: Path | None) -> Path:
    """Write the report of a campaign, finished or running, and its main figures as PNG when a directory is given.

    The page is replaced as a whole: whoever reloads it never sees half of one. Without matplotlib there are no PNGs.
    """
    if out_file.is_dir():
        raise ReportError(f"{out_file}: expected a file for the report, found a directory; name a page in it")
    _check_place(out_file)
    write = prepared_file(out_file)
    contents, prediction = read_contents(archive), read_prediction(archive)
    figures = {
        "pareto": front_figures(contents),
        "best_so_far": progress_figures(contents),
        "genes": gene_figures(archive, contents),
        "held_out": held_out_figures(contents),
        "finalists": finalist_figures(contents),
        "items": item_figures(contents),
        "predicted": predicted_figures(contents, prediction),
    }
    page = _page(contents, details(archive, contents), figures, prediction, read_screen_agreement(archive))
    write(page)
    if png_dir is not None and can_draw():
        save_pngs(figures, png_dir)
    return out_file


def _check_place(page: Path) -> None:
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReportError(
            f"{page}: cannot write the report ({error.strerror}); name another place with --out"
        ) from error
    if not os.access(page.parent, os.W_OK):
        raise ReportError(f"{page}: cannot write the report (permission denied); name another place with --out")


def _page(
    contents: Contents,
    candidates: Sequence[dict[str, Any]],
    figures: Mapping[str, list[Figure]],
    prediction: Prediction | None,
    screen: ScreenAgreement | None,
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("evomerge.results.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters |= {"duration": duration, "moment": moment, "signed": signed, "legend": legend}
    environment.filters |= {"measured": _measured, "error": _error}
    here = Path(__file__).parent
    return environment.get_template("page.html.jinja").render(
        contents=contents,
        headline=headline(contents),
        held_out=held_out_table(contents.verification) if contents.verification else None,
        sheet=(here / "page.css").read_text(encoding="utf-8"),
        light=css_variables(LIGHT),
        dark=css_variables(DARK),
        plotly=get_plotlyjs(),
        script=(here / "page.js").read_text(encoding="utf-8"),
        data=for_script(visible_data(_data(contents, candidates, figures))),
        prediction=prediction,
        screen="" if screen is None else screen.in_words,
        figures=figures,
        gap=finalists_in_words(contents),
        n_panels=len(figures["pareto"]),
        n_embedded=len(candidates),
        few_points=FEW_POINTS,
    )


def _data(
    contents: Contents, candidates: Sequence[dict[str, Any]], figures: Mapping[str, list[Figure]]
) -> dict[str, Any]:
    """Return what the script needs: the figures, every drawn point's objectives, and the candidates in full."""
    scored, n_panels = contents.scored, len(figures["pareto"])
    drawn = [*dominated(scored, n_panels).tolist(), *scored.front.tolist()] if n_panels else []
    points = {
        int(scored.numbers[i]): [
            [float(f"{natural(v, cost):.5g}"), float(f"{e:.5g}")]
            for v, e, cost in zip(scored.values[i], scored.stderrs[i], scored.costs, strict=True)
        ]
        for i in drawn
    }
    return {
        "figures": figures,
        "objectives": [titled(*of) for of in zip(scored.objectives, scored.costs, strict=True)],
        "points": points,
        "estimated": [number for number in points if scored.estimated[scored.index(number)]],
        "candidates": {detail["number"]: detail for detail in candidates},
        "order": [detail["number"] for detail in candidates],
    }


def where(page: Path) -> str:
    """Return what a command says of a report that it wrote."""
    return f"report: {page}" if can_draw() else f"report: {page}\n{NO_PNG}"


def for_script(data: Any) -> str:
    """Return JSON that may stand inside a <script>: no `<`, so nothing in it can close the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    escapes = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    return text.translate({ord(letter): escape for letter, escape in escapes.items()})


def _measured(objective: ObjectiveEstimate) -> str:
    return shown(objective.value, objective.cost)


def _error(objective: ObjectiveEstimate) -> str:
    return shown_error(objective.stderr, objective.cost)


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
    """Return seconds since the epoch as a date and time in UTC; of a damaged archive's no date that there is."""
    try:
        return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return "not known"
