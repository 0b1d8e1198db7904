"""What every command prints with: the console, tables, notes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.table import Table

SECONDS_BETWEEN_LINES = 10.0
WIDTH_OF_A_FILE = 120


def make_console() -> Console:
    """Return a console as wide as the terminal; where there is none, wide enough for the tables."""
    return Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_A_FILE)


def plain_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]] = (), *, right: Collection[str] = ()
) -> Table:
    """Return a table of strings; the columns in `right` are set flush right."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in header:
        table.add_column(name, justify="right" if name in right else "left")
    for row in rows:
        table.add_row(*row)
    return table


def duration(seconds: float) -> str:
    """Return whole seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def print_warnings(texts: Iterable[str]) -> None:
    """Print one line for each on stderr."""
    console = Console(stderr=True)
    for text in texts:
        console.print(f"warning: {text}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def print_note(console: Console) -> Callable[[object], None]:
    """Return a callback that prints what is said in words."""
    from evomerge.campaign.events import Noted

    def show(event: object) -> None:
        if isinstance(event, Noted):
            subject = f"[bold]{escape(event.subject)}[/bold]: " if event.subject else ""
            console.print(f"{subject}{escape(event.text)}", highlight=False)

    return show
