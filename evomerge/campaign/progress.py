"""When a search ends, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from evomerge.candidate import Evaluation, Failure, Outcome

Ending = Literal["evaluations", "hours", "interrupted", "stopped", "exhausted", "converged"]
ENDING = "ending"  # what the archive notes it under


@dataclass(frozen=True)
class Limits:
    """When a search ends.

    Attributes:
        evaluations: candidates in all, landmarks and failures included.
        hours: wall time in all, earlier sessions of a resumed search included; None for no limit.
        gain: it also ends where the optimiser expects to gain no more than this, in units of the objectives; None: no
            matter what it expects.
    """

    evaluations: int
    hours: float | None = None
    gain: float | None = None

    def out_of_time(self, seconds: float) -> bool:
        """Return whether a search of so many seconds is over."""
        return self.hours is not None and seconds >= 3600 * self.hours

    def ending(self, progress: Progress) -> Ending:
        """Return why a search ends that nobody interrupted and in which nobody is left to be scored."""
        if progress.done >= self.evaluations:
            return "evaluations"
        if progress.converged:
            return "converged"
        return "hours" if self.out_of_time(progress.seconds) else "exhausted"


@dataclass
class Utilisation:
    """How much of the workers' time was spent on candidates, in worker seconds of this session."""

    busy: float = 0.0
    available: float = 0.0

    def add(self, seconds: float, *, running: int, workers: int) -> None:
        """Count a stretch of time with so many candidates under way."""
        self.busy += seconds * min(running, workers)
        self.available += seconds * workers

    @property
    def share(self) -> float | None:
        """In [0, 1]; None before the first stretch."""
        return self.busy / self.available if self.available > 0 else None


@dataclass
class Progress:
    """How far a search is.

    Attributes:
        done: candidates told, failures included.
        total: the limit on `done`.
        failures: candidates that failed.
        stopped: candidates that did not answer all of their items, because others were better.
        answers: item scores of all candidates.
        seconds: wall time of the search, earlier sessions included.
        hours: the limit on `seconds`, in hours; None for no limit.
        workers: how many candidates are scored at a time.
        best: the evaluation with the highest mean objective so far, of those that violate least; None before the first.
        own_items: whether everybody answers other items, so that their means compare items as well.
        utilisation: of the workers.
        gain_left: what the optimiser expected to gain when it was last asked, in units of the objectives; None where it
            was not, or cannot tell.
        converged: whether that is too little to go on.
    """

    total: int
    done: int = 0
    failures: int = 0
    stopped: int = 0
    answers: int = 0
    seconds: float = 0.0
    hours: float | None = None
    workers: int = 1
    best: Evaluation | None = None
    utilisation: Utilisation = field(default_factory=Utilisation)
    gain_left: float | None = None
    converged: bool = False
    own_items: bool = False

    def count(self, outcome: Outcome) -> None:
        """Take in an outcome that was told."""
        self.done += 1
        if isinstance(outcome, Failure):
            self.failures += 1
            return
        self.answers += len(outcome.scores.item_ids)
        self.stopped += outcome.estimate.stopped is not None
        if self.best is None or rank(outcome) < rank(self.best):
            self.best = outcome


def rank(evaluation: Evaluation) -> tuple[float, float]:
    """Return what sorts the best first: whole feasible ones, then those that violate least, each by the mean."""
    return evaluation.violation, -evaluation.estimate.mean
