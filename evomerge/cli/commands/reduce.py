"""`evomerge reduce`: a campaign's benchmark becomes a small one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from evomerge.cli.commands.search import CampaignFile, Trust
from evomerge.cli.terminal import (
    SECONDS_BETWEEN_LINES,
    Terminal,
    add_row,
    duration,
    make_console,
    plain_table,
    print_note,
)

if TYPE_CHECKING:
    from fitness.reduction.calibration import Calibration
    from fitness.reduction.quality import Quality


def reduce(  # noqa: PLR0913 -- each is an option
    campaign: CampaignFile,
    out: Annotated[Path, typer.Option(help="The JSON file to write; rows are kept beside it.", show_default=False)],
    models: Annotated[
        int | None,
        typer.Option(
            min=10,
            help="Models to score, landmarks included; default: 100, with --bank 20 besides the parents, or none.",
        ),
    ] = None,
    items: Annotated[
        int | None, typer.Option(min=1, help="Items per candidate; default: 30 per task, at most half of them.")
    ] = None,
    matrix: Annotated[
        Path | None, typer.Option(help="Scores of yours, models x items: Parquet, CSV or JSON; nothing is scored then.")
    ] = None,
    *,
    bank: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[TASK=]FILE",
            help="Item parameters or answers of other models: mirt's CSV (a1,d,g,u), lm-eval's --log_samples, a"
            " leaderboard's Parquet, or a matrix; may be repeated.",
        ),
    ] = None,
    anchors: Annotated[
        str | None,
        typer.Option(
            help="How items are chosen: uniform, stratified, responses, parameters or information; default: the one"
            " that predicts held-out models best."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers; more than one makes a Ray pool.")] = None,
    trust_tasks: Trust = False,
) -> None:
    """Make a small benchmark of a campaign's search items, and report whether it is better than random items.

    Landmarks and random merges of the campaign's space are scored on all search items; each row is kept as it comes,
    so the same command goes on where it was stopped. A matrix of yours is a table with a column `model` and one
    column per item (`task/item`), or with the columns model, item and score. With a bank few models are scored, or
    none.
    """
    from evomerge.api.reducing import reduce
    from fitness.reduction.anchors import METHODS

    if anchors is not None and anchors not in METHODS:
        raise typer.BadParameter(f"expected one of {', '.join(METHODS)}, found {anchors!r}", param_hint="--anchors")
    console = make_console()
    made = reduce(
        campaign,
        out,
        models=models,
        items=items,
        matrix=matrix,
        bank=bank or (),
        anchors=anchors,
        workers=workers,
        callbacks=[print_note(console), _Watch(console)],
        trust_tasks=trust_tasks,
    )
    console.show(calibration_table(made.calibration))
    console.print(f"{made.verdict}\n({duration(made.seconds)})")
    console.print(f"wrote {out}: to use it, add to the campaign\n  reduced: {out}", whole=True)


def calibration_table(calibration: Calibration) -> Table:
    """Return the report: the chosen anchors with every estimator, the best estimator of every other choice."""
    title = f"{calibration.n_items} items, {calibration.n_models} models held out (means over objectives)"
    right = ("abs. error", "Kendall tau", "regret of the top pick", "95 % interval covers")
    table = plain_table(title, ("items chosen by", "estimator", *right), right=right)
    add_row(table, ("at random, 20 times", "mean", *_numbers(calibration.random), ""))
    table.add_section()
    chosen = [row for row in calibration.rows if row.anchors == calibration.anchors]
    for row in chosen:
        used = row.estimator == calibration.estimator
        numbers = _numbers(row.quality)
        style = "bold" if used else ""
        add_row(table, (row.anchors, row.estimator, *numbers, f"{row.coverage:.1%}"), style=style)
    table.add_section()
    for method in dict.fromkeys(row.anchors for row in calibration.rows if row.anchors != calibration.anchors):
        row = min((r for r in calibration.rows if r.anchors == method), key=lambda r: r.quality.error)
        add_row(table, (row.anchors, row.estimator, *_numbers(row.quality), f"{row.coverage:.1%}"))
    return table


def _numbers(quality: Quality) -> tuple[str, str, str]:
    return f"{quality.error:.4f}", f"{quality.kendall:.3f}", f"{quality.regret:.4f}"


class _Watch:
    """Says how many models are scored, every ten seconds."""

    def __init__(self, console: Terminal) -> None:
        self._console = console
        self._began: float | None = None
        self._first = 0
        self._printed = -SECONDS_BETWEEN_LINES

    def __call__(self, event: object) -> None:
        from evomerge.api.reducing import ModelsScored

        if not isinstance(event, ModelsScored):
            return
        now, done, total = time.monotonic(), event.done, event.total
        if self._began is None:
            self._began, self._first = now, done
        if now - self._printed < SECONDS_BETWEEN_LINES and done < total:
            return
        self._printed = now
        new = done - self._first
        left = f"  {duration((now - self._began) / new * (total - done))} left" if new and done < total else ""
        self._console.print(f"{done}/{total} models scored on all search items{left}")
