"""The points that a surrogate is first fitted to: they fill the cube and never depend on how many there will be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evomerge.seeds import stream

# Beyond this many points a design waits too long before it learns; see `design_size`.
MANY = 60


def design_size(dim: int) -> int:
    """Return how many points a first fit wants: (dim + 1)(dim + 2), twice the unknowns of a full quadratic.

    Where that is more than 60, 60 or twice the unknowns of a linear model.
    """
    return min((dim + 1) * (dim + 2), max(MANY, 2 * (dim + 1)))


class SpaceFillingDesign:
    """Some starts, the dim points with one gene at 1 and the others at 0, then scrambled Sobol points without an end.

    Args:
        starts: (n_starts, dim) the first points, e.g. the centre.
        seed: names the stream that scrambles.
        size: where it is too small for the dim points to leave room for as many others, they are left out.
    """

    def __init__(self, starts: NDArray[np.float64], *, seed: int, size: int) -> None:
        self._seed = seed
        self._dim = dim = starts.shape[1]
        chosen = np.eye(dim) if size >= 2 * dim + len(starts) else np.empty((0, dim))
        self._special = np.concatenate([starts, chosen])

    def points(self, first: int, last: int) -> NDArray[np.float64]:
        """Return the points from `first` up to but not including `last`; (last - first, dim) in [0, 1]."""
        from scipy.stats import qmc

        n_special = len(self._special)
        wanted = max(last - n_special, 1)
        # The same scramble whatever the number of points; powers of two keep the sequence balanced.
        engine = qmc.Sobol(self._dim, scramble=True, rng=stream(self._seed, "map", "design"))
        filling = engine.random_base2(max(wanted - 1, 0).bit_length())
        return np.concatenate([self._special, filling])[first:last]
