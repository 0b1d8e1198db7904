"""Where the report and its figures go; the page itself is made by `evomerge.results.pages.frozen`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from evomerge.archive import Archive
from evomerge.errors import EvomergeError
from evomerge.results.predicted_front import Prediction
from evomerge.results.report.contents import Contents
from evomerge.results.report.details import gene_figures
from evomerge.results.report.figures import front_figures, held_out_figures, predicted_figures
from evomerge.results.report.finalists import finalist_figures
from evomerge.results.report.marks import Figure
from evomerge.results.report.png import NO_PNG, can_draw, save_pngs
from evomerge.results.report.progress_figures import item_figures, progress_figures
from evomerge.whole_file import prepared_file


class ReportError(EvomergeError, ValueError):
    """A report cannot be written where it should be."""

    exit_code = 2


def prepared_report(out_file: Path) -> Callable[[str | bytes], Path]:
    """Return what writes the page, all of it or nothing, after a look whether that can be done."""
    if out_file.is_dir():
        raise ReportError(f"{out_file}: expected a file for the report, found a directory; name a page in it")
    _check_place(out_file)
    return prepared_file(out_file)


def save_figures(archive: Archive, contents: Contents, prediction: Prediction | None, directory: Path) -> None:
    """Write the main figures as PNG; nothing without matplotlib."""
    if can_draw():
        save_pngs(all_figures(archive, contents, prediction), directory)


def all_figures(archive: Archive, contents: Contents, prediction: Prediction | None) -> dict[str, list[Figure]]:
    """Return the figures that have files of their own, by name."""
    return {
        "pareto": front_figures(contents),
        "best_so_far": progress_figures(contents),
        "genes": gene_figures(archive, contents),
        "held_out": held_out_figures(contents),
        "finalists": finalist_figures(contents),
        "items": item_figures(contents),
        "predicted": predicted_figures(contents, prediction),
    }


def _check_place(page: Path) -> None:
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReportError(
            f"{page}: cannot write the report ({error.strerror}); name another place with --out"
        ) from error
    if not os.access(page.parent, os.W_OK):
        raise ReportError(f"{page}: cannot write the report (permission denied); name another place with --out")


def where(page: Path) -> str:
    """Return what a command says of a report that it wrote."""
    return f"report: {page}" if can_draw() else f"report: {page}\n{NO_PNG}"
