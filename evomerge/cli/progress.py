"""The progress of a search, as its events tell it."""

from __future__ import annotations

import time

from evomerge.campaign import Progress
from evomerge.campaign.events import CandidateFailed, CandidateTold, Noted, SearchEnded
from evomerge.campaign.progress import rank
from evomerge.candidate import Evaluation
from evomerge.cli.live import LiveLines, one_line
from evomerge.cli.pace import Pace
from evomerge.cli.terminal import SECONDS_BETWEEN_LINES, Terminal, between, duration, print_note
from fitness.costs import in_unit

BAR = 16  # cells


class SearchProgress:
    """Shows a running search: live lines on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, console: Terminal) -> None:
        """Write to this console."""
        self._console = console
        self._note = print_note(console)
        self._lines = LiveLines(console)
        self._printed = -SECONDS_BETWEEN_LINES
        self._began: float | None = None
        self._pace = Pace(0.0)
        self._by_hand: Evaluation | None = None  # the best landmark

    def watch(self, event: object) -> None:
        """Show one event of a search."""
        if self._began is None:
            self._began = time.monotonic()
            self._pace = Pace(self._began)
        match event:
            case CandidateTold(evaluation, progress):
                if evaluation.candidate.label and (self._by_hand is None or rank(evaluation) < rank(self._by_hand)):
                    self._by_hand = evaluation
                self._show(progress)
            case CandidateFailed(progress=progress):
                self._show(progress)
            case SearchEnded(ending, progress):
                self.close()
                self._end(ending, progress)
            case Noted():
                self._note(event)
                if event.phase:
                    self.begin(event.text)

    def begin(self, phase: str) -> None:
        """Show that this is done from now on, and for how long, until the first candidate is there."""
        began = time.monotonic()
        self._lines.show(lambda: [f"{duration(time.monotonic() - began)}  {phase}"])

    def close(self) -> None:
        """Stop the live lines."""
        self._lines.close()

    def _show(self, progress: Progress) -> None:
        now = time.monotonic()
        self._pace.arrived(now, progress.workers)
        told = [_state(progress, self._pace.left(progress)), *_best(progress, self._by_hand)]
        if self._lines.possible:
            bar = "━" * round(BAR * progress.done / progress.total)
            lines = [f"{bar:─<{BAR}} {told[0]}", *told[1:]]
            self._lines.show(lambda: lines)
        elif now - self._printed >= SECONDS_BETWEEN_LINES or progress.done == progress.total:
            self._printed = now
            self._console.print(one_line("  ".join(told)), whole=True)

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


def _state(progress: Progress, left: tuple[float, float] | None) -> str:
    """Return how far a search is: what matters most comes first, the end may be cut."""
    parts = [f"{progress.done}/{progress.total} candidates"]
    if left is not None and progress.done < progress.total:
        parts.append(f"{between(*left)} left")
    if progress.failures:
        parts.append(f"{progress.failures} failed")
    if progress.stopped:
        parts.append(f"{progress.stopped} stopped early")
    if progress.gain_left is not None:
        parts.append(f"{progress.gain_left:+.4f} expected to come")
    if progress.utilisation.share is not None:
        parts.append(f"workers {progress.utilisation.share:.0%} busy")
    return "  ".join(parts)


def _best(progress: Progress, by_hand: Evaluation | None) -> list[str]:
    """Return lines about the best candidate so far, the best that was there without a search beside it."""
    best = progress.best
    if best is None:
        return []
    of_what = " of its own items" if progress.own_items else ""
    mean = (
        f"best mean {best.estimate.mean:.3f}{of_what}, {best.candidate.label or f'candidate {best.candidate.number}'}"
    )
    if by_hand is not None and by_hand is not best and not progress.own_items:
        mean += f"; without a search {by_hand.estimate.mean:.3f}, {by_hand.candidate.label}"
    values = ", ".join(f"{o.name} {in_unit(o.value, o.cost)}" for o in best.estimate.objectives)
    values += f"; misses constraints by {best.violation:.3f}" if best.violation else ""
    values += f"; {best.estimate.in_words}" if best.estimate.kind == "estimated" else ""
    return [mean, values]
