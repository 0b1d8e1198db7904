"""What every command prints with: texts, tables, notes. The one place that hands anything to the terminal.

Names come from files of other people. Nothing in a text is markup, and what would steer the terminal is written out.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text

from evomerge.visible import visible

SECONDS_BETWEEN_LINES = 10.0
_UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"))
_STEPS = ((5, 0.5), (20, 1), (100, 5), (math.inf, 50))  # up to so many, in steps of
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


def beside_us() -> None:
    """Let plug-ins be found in the directory of the command, as `python -m` does; installed ones come first."""
    if (here := os.getcwd()) not in sys.path:
        sys.path.append(here)


def duration(seconds: float) -> str:
    """Return whole seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def between(low: float, high: float) -> str:
    """Return a range of seconds in words, outward to what an estimate can tell.

    >>> from evomerge.cli.terminal import between
    >>> between(2400.0, 3500.0), between(50.0, 51.0), between(5.0, 5.0)
    ('40 to 60 minutes', '50 to 55 seconds', 'about 5 seconds')
    """
    unit, name = next(((u, n) for u, n in _UNITS if high >= 1.5 * u), (1, "seconds"))
    step = next(step for most, step in _STEPS if high / unit <= most)
    first, last = math.floor(low / unit / step) * step, math.ceil(high / unit / step) * step
    if first >= last or not first:
        name = name if last != 1 else name.removesuffix("s")
        return f"{'at most' if first < last else 'about'} {last:g} {name}"
    return f"{first:g} to {last:g} {name}"


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


def indented(head: str, text: str, most: int | None = 8000, more: str = "") -> str:
    """Return a text under a name, its lines indented, at most so long; control characters are shown, not obeyed."""
    cut = text if most is None or len(text) <= most else f"{text[:most]} … ({len(text)} characters{more})"
    lines = [visible(line) for line in cut.split("\n")]
    return "\n".join([f"  {head}: {lines[0]}", *(f"    {line}" for line in lines[1:])])
