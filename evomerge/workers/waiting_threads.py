"""How many of this process's threads want to run and have no CPU, as the system's accounts tell."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_NANOSECONDS = 1e9


@dataclass(frozen=True)
class Look:
    """What the system had counted at a moment.

    Attributes:
        at: seconds of a clock.
        waited: thread -> seconds for which it wanted to run while others ran, or a quota stopped it, since it began.
    """

    at: float
    waited: Mapping[str, float]

    def waiting(self, before: Look) -> float:
        """Return how many threads waited for a CPU since an earlier look, on average."""
        waited = sum(seconds - before.waited.get(thread, 0.0) for thread, seconds in self.waited.items())
        return waited / max(self.at - before.at, 1e-3)


def look(tasks: Path = Path("/proc/self/task")) -> Look | None:
    """Look at the accounts; None where the system keeps none. Takes some hundredths of a millisecond a thread."""
    waited = {}
    try:
        for thread in tasks.iterdir():
            waited[thread.name] = _waited(thread / "schedstat")
    except OSError:
        return None
    known = {thread: seconds for thread, seconds in waited.items() if seconds is not None}
    return Look(time.monotonic(), known) if known else None


def _waited(schedstat: Path) -> float | None:
    """Return how long a thread has waited; None if it has ended, or if nobody counts."""
    try:
        _, waited, _ = schedstat.read_text(encoding="ascii").split()  # ran, waited; how often it was given a CPU
    except (OSError, ValueError):
        return None
    return int(waited) / _NANOSECONDS
