"""pycma's search itself, as we want it: in the unit cube, silent, and with random numbers of ours."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import cma


def new_strategy(
    x0: ArrayLike, sigma0: float, population: int, rng: np.random.Generator, options: Mapping[str, Any]
) -> cma.CMAEvolutionStrategy:
    """Return pycma's search around x0, with further options by its own names."""
    import cma

    fixed = {
        "bounds": [0.0, 1.0],
        "popsize": population,
        "randn": lambda *shape: rng.standard_normal(shape),
        "seed": math.nan,  # "do nothing": any other value seeds numpy's global generator
        # From 300 genes on pycma would take TPA, which draws from numpy's global generator.
        "AdaptSigma": options.get("AdaptSigma", True) and cma.sigma_adaptation.CMAAdaptSigmaCSA,
        "verbose": -10,
        "verb_log": 0,
        "signals_filename": "",
    }
    return cma.CMAEvolutionStrategy(x0, sigma0, {**options, **fixed})
