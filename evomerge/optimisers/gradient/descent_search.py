"""A descent as an optimiser: its snapshots are what it proposes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Outcome
from evomerge.optimisers.generation import proposals_of
from evomerge.optimisers.gradient.descent import Descent


class DescentSearch:
    """Propose the start of a descent, then each of its snapshots; nothing once it has ended.

    Each call goes down to the next snapshot, so that whoever asks can commit it. Outcomes change nothing: a descent
    learns from slopes.

    Args:
        descent: fresh, or one that goes on.
    """

    def __init__(self, descent: Descent) -> None:
        self._descent = descent
        self._asked = 0
        self._pending: set[int] = set()

    def ask(self, n: int) -> list[NDArray[np.float64]]:
        """Return the genome of the next snapshot; none at the end."""
        snapshot = self._descent.snapshot(self._asked) if n > 0 else None
        if snapshot is None:
            return []
        self._pending.add(self._asked)
        self._asked += 1
        genome = snapshot.genome.copy()
        genome.flags.writeable = False
        return [genome]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Check that each outcome belongs to a pending proposal."""
        self._pending.difference_update(proposals_of(outcomes, asked=self._asked, pending=self._pending))
