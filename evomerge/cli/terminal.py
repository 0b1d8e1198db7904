"""What every command prints with: texts, tables, notes. The one place that hands anything to the terminal.

Names come from files of other people. Nothing in a text is markup, and what would steer the terminal is written out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evomerge.visible import visible

SECONDS_BETWEEN_LINES = 10.0
WIDTH_OF_A_FILE = 120


class Terminal:
    """Prints on stdout, as wide as the terminal; where there is none, wide enough for the tables."""

    def __init__(self, *, stderr: bool = False) -> None:
        width = None if stderr or sys.stdout.isatty() else WIDTH_OF_A_FILE
        self.console = Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)

    def print(self, text: str, *, subject: str = "", style: str = "", whole: bool = False) -> None:
        """Print a text behind its subject; `whole`: lines are not wrapped, so that paths and commands can be copied."""
        said = Text(visible(f"{subject}: {text}" if subject else text), style=style)
        if subject:
            said.stylize("bold", 0, len(visible(subject)))
        self.console.print(said, soft_wrap=whole)

    def show(self, table: Table) -> None:
        """Print a table of `plain_table`."""
        self.console.print(table)


def make_console() -> Terminal:
    """Return what prints on stdout."""
    return Terminal()


def plain_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]] = (), *, right: Collection[str] = ()
) -> Table:
    """Return a table of strings; the columns in `right` are set flush right."""
    table = Table(title=Text(visible(title)), title_justify="left", header_style="bold")
    for name in header:
        table.add_column(Text(visible(name)), justify="right" if name in right else "left")
    for row in rows:
        add_row(table, row)
    return table


def add_row(table: Table, cells: Iterable[str], *, style: str = "") -> None:
    """Add a row of strings to a table."""
    table.add_row(*(Text(visible(cell)) for cell in cells), style=style)


def duration(seconds: float) -> str:
    """Return whole seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def print_warnings(texts: Iterable[str]) -> None:
    """Print one line for each on stderr."""
    terminal = Terminal(stderr=True)
    for text in texts:
        terminal.print(f"warning: {text}", style="yellow", whole=True)


def print_note(terminal: Terminal) -> Callable[[object], None]:
    """Return a callback that prints what is said in words."""
    from evomerge.campaign.events import Noted

    def show(event: object) -> None:
        if isinstance(event, Noted):
            terminal.print(event.text, subject=event.subject)

    return show
