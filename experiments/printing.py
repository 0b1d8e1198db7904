"""What experiments print: tables, the steps of a search, and an expected error as one line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import evomerge as em

SECONDS_BETWEEN_LINES = 10.0
WIDTH_OF_A_FILE = 120


def guarded(main: Callable[[], object]) -> None:
    """Run an experiment; what a user can mend becomes one line and an exit code."""
    try:
        main()
    except (em.EvomergeError, OSError) as error:
        Console(stderr=True).print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(em.errors.exit_code(error))


def make_console(*, stderr: bool = False) -> Console:
    """Return a console as wide as the terminal; where there is none, wide enough for the tables."""
    return Console(stderr=stderr, width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE, highlight=False)


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table of texts."""
    made = Table(*header, title=title, title_justify="left", header_style="bold")
    for row in rows:
        made.add_row(*row)
    return made


def mean_and_error(values: Sequence[float], digits: int = 3) -> str:
    """Return the mean of values with its standard error."""
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{np.mean(values):.{digits}f} ± {error:.{digits}f}"


def duration(seconds: float) -> str:
    """Return whole seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def steps(console: Console) -> Callable[[object], None]:
    """Return a callback that prints what a search does, and every ten seconds how far it is."""
    printed = -SECONDS_BETWEEN_LINES

    def show(event: object) -> None:
        nonlocal printed
        match event:
            case em.Noted(text, subject):
                console.print(f"[bold]{escape(subject)}[/bold]: {escape(text)}" if subject else escape(text))
            case em.CandidateTold(progress=far) | em.CandidateFailed(progress=far):
                now = time.monotonic()
                if now - printed >= SECONDS_BETWEEN_LINES or far.done == far.total:
                    printed = now
                    best = "" if far.best is None else f"  best mean {far.best.estimate.mean:.3f}"
                    spent = f"after {duration(far.seconds)}"
                    console.print(f"{far.done}/{far.total} candidates{best}  {far.failures} failed  {spent}")
            case em.SearchEnded(progress=far):
                console.print(f"searched for {duration(far.seconds)}")

    return show
