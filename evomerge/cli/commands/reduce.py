"""`evomerge reduce`: a campaign's benchmark becomes a small one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from evomerge.api.reducing import ModelsScored
from evomerge.api.reducing import reduce as reduce_campaign
from evomerge.cli.terminal import SECONDS_BETWEEN_LINES, duration, print_note
from evomerge.config import CampaignConfig
from fitness.reduction.calibration import Calibration
from fitness.reduction.quality import Quality


def reduce(config: CampaignConfig, out: Path, console: Console, **options: Any) -> None:
    """Score models on all search items (or take a user's matrix), reduce, write the file, and print the report.

    Args:
        config: resolved.
        out: the JSON file.
        console: where to print.
        options: see `evomerge.reduce`.
    """
    made = reduce_campaign(config, out, callbacks=[print_note(console), _Watch(console)], **options)
    console.print(calibration_table(made.calibration))
    console.print(f"{made.verdict}\n({duration(made.seconds)})", highlight=False)
    console.print(f"wrote {out}: to use it, add to the campaign\n  reduced: {out}", highlight=False)


def calibration_table(calibration: Calibration) -> Table:
    """Return the report: the chosen anchors with every estimator, the best estimator of every other choice."""
    title = f"{calibration.n_items} items, {calibration.n_models} models held out (means over objectives)"
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in ("items chosen by", "estimator"):
        table.add_column(name)
    for name in ("abs. error", "Kendall tau", "regret of the top pick", "95 % interval covers"):
        table.add_column(name, justify="right")
    table.add_row("at random, 20 times", "mean", *_numbers(calibration.random), "")
    table.add_section()
    chosen = [row for row in calibration.rows if row.anchors == calibration.anchors]
    for row in chosen:
        used = row.estimator == calibration.estimator
        numbers = _numbers(row.quality)
        style = "bold" if used else ""
        table.add_row(row.anchors, row.estimator, *numbers, f"{row.coverage:.1%}", style=style)
    table.add_section()
    for method in dict.fromkeys(row.anchors for row in calibration.rows if row.anchors != calibration.anchors):
        row = min((r for r in calibration.rows if r.anchors == method), key=lambda r: r.quality.error)
        table.add_row(row.anchors, row.estimator, *_numbers(row.quality), f"{row.coverage:.1%}")
    return table


def _numbers(quality: Quality) -> tuple[str, str, str]:
    return f"{quality.error:.4f}", f"{quality.kendall:.3f}", f"{quality.regret:.4f}"


class _Watch:
    """Says how many models are scored, every ten seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began: float | None = None
        self._first = 0
        self._printed = -SECONDS_BETWEEN_LINES

    def __call__(self, event: object) -> None:
        """Take in how far it is."""
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
        self._console.print(f"{done}/{total} models scored on all search items{left}", highlight=False)
