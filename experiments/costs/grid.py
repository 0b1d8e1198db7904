"""A plain grid as an optimiser of another package."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Grid:
    """Proposes one gene, evenly over [0, 1]; an optimiser."""

    def __init__(self, points: int = 9) -> None:
        """Propose so many values."""
        self._left = [np.array([value]) for value in np.linspace(0.0, 1.0, points)]

    def ask(self, n: int) -> list[NDArray[np.float64]]:
        """Return the next values; none when all are proposed."""
        asked, self._left = self._left[:n], self._left[n:]
        return asked

    def tell(self, outcomes: Sequence[object]) -> None:
        """Learn nothing."""
