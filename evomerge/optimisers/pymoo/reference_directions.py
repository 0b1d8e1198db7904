"""Directions in objective space that NSGA-III, MOEA/D and others spread their search over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evomerge.optimisers.errors import OptimiserError

# method -> the argument that says how fine; pymoo.util.ref_dirs has them all.
METHODS: Mapping[str, str] = {"das-dennis": "n_partitions", "energy": "n_points"}


def reference_directions(options: Mapping[str, Any], *, n_objectives: int, population: int) -> NDArray[np.float64]:
    """Return (n, n_objectives) directions on the unit simplex; deterministic.

    das-dennis (Das and Dennis, SIAM J. Optimization 8, 1998) cuts each axis into `n_partitions`, which makes
    C(n_objectives + n_partitions - 1, n_partitions) directions; energy (Blank et al., IEEE TEC 25, 2021) spreads any
    number of them evenly. What is left out suits the population: as many directions as it has places for, but at least
    one per objective.
    """
    if n_objectives < 2:
        raise OptimiserError(
            f"ref_dirs: expected at least 2 objectives, found {n_objectives}; choose cma_es, ga or de for one objective"
        )
    from pymoo.util.ref_dirs import get_reference_directions

    method = options.get("method", "energy" if "n_points" in options else "das-dennis")
    if method == "energy":
        n_points = options.get("n_points", max(population, n_objectives))
        return np.array(get_reference_directions("energy", n_objectives, n_points, seed=1))
    finest = 1
    while math.comb(n_objectives + finest, finest + 1) <= population:
        finest += 1
    n_partitions = options.get("n_partitions") or finest
    return np.array(get_reference_directions("das-dennis", n_objectives, n_partitions=n_partitions))
