"""How long a search will still take, by the candidates of late."""

from __future__ import annotations

from collections import deque

import numpy as np

from evomerge.campaign import Progress

MOST = 10  # candidates that a pace is taken from


class Pace:
    """Seconds per candidate, each measured from the one as many before it as there are workers.

    So candidates that arrive together, as those of several workers do, count as what they took.
    """

    def __init__(self, began: float) -> None:
        """Begin at a time in seconds."""
        self._times = deque([began])
        self._paces: deque[float] = deque(maxlen=MOST)

    def arrived(self, now: float, workers: int) -> None:
        """Take in a candidate."""
        while len(self._times) > workers:
            self._times.popleft()
        self._paces.append((now - self._times[0]) / workers)
        self._times.append(now)

    def left(self, progress: Progress) -> tuple[float, float] | None:
        """Return seconds until the end, from and to: the middle half of the last ten paces goes on.

        None before the first candidate. The hours of the budget are a limit to both.
        """
        if not self._paces:
            return None
        ends = np.quantile(self._paces, (0.25, 0.75)) * (progress.total - progress.done)
        most = np.inf if progress.hours is None else max(0.0, 3600 * progress.hours - progress.seconds)
        low, high = (float(min(end, most)) for end in ends)
        return low, high
