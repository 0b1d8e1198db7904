"""Lines at the foot of a terminal that are drawn anew while something runs, none of them wider than it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from evomerge.cli.terminal import Terminal, duration
from evomerge.visible import visible


class LiveLines:
    """Draws what a function returns four times a second; where nothing can be drawn anew it draws nothing."""

    def __init__(self, terminal: Terminal) -> None:
        """Draw on this terminal."""
        self._console = terminal.console
        self._lines: Callable[[], Sequence[str]] = tuple
        self._live: Live | None = None

    @property
    def possible(self) -> bool:
        """Whether this is a terminal that can move its cursor: no file, and not TERM=dumb."""
        return self._console.is_terminal and not self._console.is_dumb_terminal

    def show(self, lines: Callable[[], Sequence[str]]) -> None:
        """Draw these lines from now on."""
        self._lines = lines
        if self._live is None and self.possible:
            self._live = Live(self, console=self._console, refresh_per_second=4)
            self._live.start()
        elif self._live is not None:
            self._live.refresh()

    def close(self, *, leave: bool = True) -> None:
        """Stop; `leave` what was drawn last, or wipe it out."""
        if self._live is not None:
            self._live.transient = not leave
            self._live.stop()
            self._live = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines():
            text = Text(one_line(line), no_wrap=True)
            text.truncate(options.max_width, overflow="ellipsis")
            yield text


class Phases:
    """Says what is being done and for how long: in a live line, or where there is none in a line for each."""

    def __init__(self, terminal: Terminal) -> None:
        """Say it on this terminal."""
        self._terminal = terminal
        self._lines = LiveLines(terminal)

    def begin(self, phase: str) -> None:
        """Say that this is done from now on."""
        began = time.monotonic()
        if self._lines.possible:
            self._lines.show(lambda: [f"{duration(time.monotonic() - began)}  {phase}"])
        else:
            self._terminal.print(f"{phase} ...", whole=True)

    def close(self) -> None:
        """Say no more of it."""
        self._lines.close(leave=False)


def one_line(text: str) -> str:
    """Return text of other people on one line, nothing in which steers the terminal."""
    return visible(" ".join(text.splitlines()).replace("\t", " "))
