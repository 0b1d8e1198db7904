"""The progress of a search, as its events tell it."""

from __future__ import annotations

import time

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evomerge.campaign import Progress
from evomerge.campaign.events import CandidateFailed, CandidateTold, Noted, SearchEnded
from evomerge.cli.terminal import SECONDS_BETWEEN_LINES, Terminal, duration, print_note
from evomerge.visible import visible
from fitness.costs import in_unit


class SearchProgress:
    """Shows a running search: a live line on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, console: Terminal) -> None:
        """Write to this console."""
        self._console = console
        self._note = print_note(console)
        self._live: Live | None = None
        self._printed = -SECONDS_BETWEEN_LINES
        self._began: float | None = None

    def watch(self, event: object) -> None:
        """Show one event of a search."""
        if self._began is None:
            self._began = time.monotonic()
        match event:
            case CandidateTold(progress=progress) | CandidateFailed(progress=progress):
                self._show(progress)
            case SearchEnded(ending, progress):
                self.close()
                self._end(ending, progress)
            case Noted():
                self._note(event)

    def close(self) -> None:
        """Stop the live line."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self, progress: Progress) -> None:
        if self._console.console.is_terminal:
            if self._live is None:
                self._live = Live(console=self._console.console, refresh_per_second=4)
                self._live.start()
            grid = Table.grid(padding=(0, 1))
            grid.add_row(ProgressBar(progress.total, progress.done, width=24), Text(visible(_line(progress))))
            self._live.update(grid)
        elif time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES or progress.done == progress.total:
            self._printed = time.monotonic()
            self._console.print(_line(progress))

    def _end(self, ending: str, progress: Progress) -> None:
        if ending == "interrupted":
            return
        reason = {
            "hours": ": the hours are spent",
            "stopped": ": a callback stopped it",
            "exhausted": ": the optimiser has nothing to add",
            "converged": f": the optimiser expects to gain at most {progress.gain_left or 0.0:+.4f}",
        }.get(ending, "")
        busy = progress.utilisation.share
        used = "" if busy is None else f", workers {busy:.0%} busy"
        seconds = time.monotonic() - (self._began or 0.0)
        self._began = None
        self._console.print(f"searched for {duration(seconds)}{used}{reason}")


def _line(progress: Progress) -> str:
    parts = [f"{progress.done}/{progress.total} candidates"]
    if progress.best is not None:
        best = progress.best
        values = " ".join(f"{o.name} {in_unit(o.value, o.cost)}" for o in best.estimate.objectives)
        name = best.candidate.label or f"candidate {best.candidate.number}"
        values += f"; misses constraints by {best.violation:.3f}" if best.violation else ""
        values += f"; {best.estimate.in_words}" if best.estimate.kind == "estimated" else ""
        of_what = " of its own items" if progress.own_items else ""
        parts.append(f"best mean {best.estimate.mean:.3f}{of_what} ({name}: {values})")
    parts.append(f"{progress.failures} failed")
    if progress.stopped:
        parts.append(f"{progress.stopped} stopped early")
    if progress.gain_left is not None:
        parts.append(f"{progress.gain_left:+.4f} expected to come")
    if progress.utilisation.share is not None:
        parts.append(f"workers {progress.utilisation.share:.0%} busy")
    if progress.left is not None:
        parts.append(f"{duration(progress.left)} left")
    return "  ".join(parts)
