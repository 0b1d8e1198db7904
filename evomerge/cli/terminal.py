"""What the commands print: tables, and the progress of a search."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from evomerge.api.events import Noted
from evomerge.campaign.events import CandidateFailed, CandidateTold, SearchEnded
from evomerge.campaign.progress import Progress
from evomerge.campaign.start_points import is_start_point
from evomerge.results.front import CampaignFront
from evomerge.results.verification.result import Row, Verification
from fitness.scores import Estimate, ObjectiveEstimate
from search_spaces.recipes.layer_path import path_text, scales_text
from search_spaces.recipes.recipe import Recipe

SECONDS_BETWEEN_LINES = 10.0
WIDTH_OF_A_FILE = 120


def make_console() -> Console:
    """Return a console as wide as the terminal; where there is none, wide enough for the tables."""
    return Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_A_FILE)


def front_table(front: CampaignFront) -> Table:
    """Return the Pareto front as a table, the knee marked."""
    table = Table(title="Pareto front on search items", title_justify="left", header_style="bold")
    table.add_column("candidate")
    for objective in front.points[0].estimate.objectives:
        table.add_column(objective.name, justify="right")
    table.add_column("mean", justify="right")
    table.add_column("scores")
    table.add_column("")
    paths = [_path(point.candidate.recipe) for point in front.points]
    if any(paths):
        table.add_column("layers", overflow="fold")
    rests_on = _rests_on([point.estimate for point in front.points])
    knee = front.knee
    for i, point in enumerate(front.points):
        name = point.candidate.label or str(point.candidate.number)
        cells = [_plus_minus(o) for o in point.estimate.objectives]
        mark, path = "knee" if i == knee else "", paths[i : i + 1] if any(paths) else []
        table.add_row(name, *cells, f"{point.estimate.mean:.3f}", rests_on[i], mark, *path)
    return table


def _rests_on(estimates: Sequence[Estimate]) -> list[str]:
    """Return what each estimate rests on; where some were scored on more items than others, on how many."""
    sizes = [min(objective.n_items for objective in estimate.objectives) for estimate in estimates]
    if len(set(sizes)) == 1:
        return [estimate.in_words for estimate in estimates]
    return [e.in_words if e.kind == "estimated" else f"{n} items" for e, n in zip(estimates, sizes, strict=True)]


def _path(recipe: Recipe) -> str:
    return "; ".join(part for part in (path_text(recipe), scales_text(recipe)) if part)


def verification_table(verification: Verification) -> Table:
    """Return the held-out table; rows stand in the order parents, baselines, candidates."""
    table = Table(title="Held-out test items", title_justify="left", header_style="bold")
    table.add_column("model")
    for objective in verification.rows[0].objectives:
        table.add_column(objective.name, justify="right")
    table.add_column("mean", justify="right")
    table.add_column(f"difference to {verification.best_parent} (95 % interval)", justify="right")
    kind = ""
    for row in verification.rows:
        if kind and row.kind != kind:
            table.add_section()
        kind = row.kind
        picked = verification.winner_of(row.candidate)
        name = row.name if picked is None else f"{row.name} ({', '.join(picked.picks)})"
        name += " (best start point)" if is_start_point(row.name) else ""
        style = "bold" if row.candidate == verification.winner else ""
        table.add_row(name, *[_plus_minus(o) for o in row.objectives], f"{row.mean:.3f}", _difference(row), style=style)
    return table


def verdict_lines(verification: Verification) -> list[str]:
    """Return the winner's verdict with its facts, then those of the other winners."""
    lines = [] if verification.winners else [verification.verdict]
    for winner in verification.winners:
        lines += [winner.verdict, *(f"  - {fact}" for fact in winner.facts)]
    return lines


def plain_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table of strings."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in header:
        table.add_column(name)
    for row in rows:
        table.add_row(*row)
    return table


def duration(seconds: float) -> str:
    """Return whole seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


class SearchProgress:
    """Shows a running search: a live line on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, console: Console) -> None:
        """Write to this console."""
        self._console = console
        self._note = print_note(console)
        self._live: Live | None = None
        self._printed = -SECONDS_BETWEEN_LINES
        self._began: float | None = None

    def __enter__(self) -> SearchProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def watch(self, event: object) -> None:
        """Show one event of a search."""
        if self._began is None:
            self._began = time.monotonic()
        match event:
            case CandidateTold(progress=progress) | CandidateFailed(progress=progress):
                self._show(progress)
            case SearchEnded(ending, progress):
                self._stop()
                self._end(ending, progress)
            case Noted():
                self._note(event)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _show(self, progress: Progress) -> None:
        if self._console.is_terminal:
            if self._live is None:
                self._live = Live(console=self._console, refresh_per_second=4)
                self._live.start()
            self._live.update(_grid(progress))
        elif time.monotonic() - self._printed >= SECONDS_BETWEEN_LINES or progress.done == progress.total:
            self._printed = time.monotonic()
            self._console.print(_line(progress), highlight=False)

    def _end(self, ending: str, progress: Progress) -> None:
        if ending == "interrupted":
            return
        reason = {"hours": ": the hours are spent", "exhausted": ": the optimiser has nothing to add"}.get(ending, "")
        busy = progress.utilisation.share
        used = "" if busy is None else f", workers {busy:.0%} busy"
        seconds = time.monotonic() - (self._began or 0.0)
        self._began = None
        self._console.print(f"searched for {duration(seconds)}{used}{reason}", highlight=False)


def print_note(console: Console) -> Callable[[object], None]:
    """Return a callback that prints what is said in words."""

    def show(event: object) -> None:
        if isinstance(event, Noted):
            subject = f"[bold]{escape(event.subject)}[/bold]: " if event.subject else ""
            console.print(f"{subject}{escape(event.text)}", highlight=False)

    return show


def _grid(progress: Progress) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_row(ProgressBar(progress.total, progress.done, width=24), _line(progress))
    return grid


def _line(progress: Progress) -> str:
    parts = [f"{progress.done}/{progress.total} candidates"]
    if progress.best is not None:
        best = progress.best
        values = " ".join(f"{o.name} {o.value:.3f}" for o in best.estimate.objectives)
        name = best.candidate.label or f"candidate {best.candidate.number}"
        values += f"; misses constraints by {best.violation:.3f}" if best.violation else ""
        values += "; estimated" if best.estimate.kind == "estimated" else ""
        parts.append(f"best mean {best.estimate.mean:.3f} ({name}: {values})")
    parts.append(f"{progress.failures} failed")
    if progress.stopped:
        parts.append(f"{progress.stopped} stopped early")
    if progress.utilisation.share is not None:
        parts.append(f"workers {progress.utilisation.share:.0%} busy")
    if progress.left is not None:
        parts.append(f"{duration(progress.left)} left")
    return "  ".join(parts)


def _plus_minus(objective: ObjectiveEstimate) -> str:
    return f"{objective.value:.3f} ± {objective.stderr:.3f}"


def _difference(row: Row) -> str:
    if row.difference is None:
        return "the best parent"
    d = row.difference
    return f"{d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f})"
