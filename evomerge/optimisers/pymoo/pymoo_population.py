"""pymoo's populations: genomes as keys, and what a search begins with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evomerge.optimisers.errors import OptimiserError


def clipped(genome: ArrayLike) -> NDArray[np.float64]:
    """Return a genome with every gene in [0, 1]: mutation may leave the cube by rounding."""
    return np.clip(np.asarray(genome, dtype=np.float64), 0.0, 1.0)


def key(genome: ArrayLike) -> bytes:
    """Return what two genomes share exactly when they are equal in the cube."""
    return clipped(genome).tobytes()


def checked_starts(starts: Sequence[ArrayLike], dim: int, population: int | None) -> NDArray[np.float64]:
    """Return what a search begins with, (n, dim).

    Raises:
        OptimiserError: a genome is not in the cube, or there are more of them than a population has.
    """
    genomes = np.array(starts, dtype=np.float64) if len(starts) else np.empty((0, dim))
    inside = genomes.shape == (len(starts), dim) and bool(((genomes >= 0.0) & (genomes <= 1.0)).all())
    if not inside or (population is not None and len(starts) > population):
        most = "" if population is None else f"at most {population} "
        raise OptimiserError(f"starts: expected {most}genomes of {dim} numbers in [0, 1], found {starts}")
    return genomes
