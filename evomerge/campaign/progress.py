"""When a search ends, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from evomerge.candidate import Evaluation, Outcome


@dataclass(frozen=True)
class Limits:
    """When a search ends.

    Attributes:
        evaluations: candidates in all, landmarks and failures included.
        hours: wall time in all, earlier sessions of a resumed search included; None for no limit.
    """

    evaluations: int
    hours: float | None = None


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
        seconds: wall time of the search, earlier sessions included.
        left: seconds until the end at the pace so far, or None before the first candidate of this session.
        best: the evaluation with the highest mean objective so far; None before the first.
        latest: the outcomes that this step brought.
        utilisation: of the workers.
    """

    total: int
    done: int = 0
    failures: int = 0
    seconds: float = 0.0
    left: float | None = None
    best: Evaluation | None = None
    latest: list[Outcome] = field(default_factory=list)
    utilisation: Utilisation = field(default_factory=Utilisation)
