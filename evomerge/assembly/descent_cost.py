"""What a descent on coefficients costs, measured before a search is started."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from evomerge.assembly.parts import Parts
from evomerge.optimisers.gradient.options import Descending, descent_of
from evomerge.optimisers.terrain import Course, Terrain


@dataclass(frozen=True)
class DescentCost:
    """What a descent on coefficients costs here, measured on two steps.

    Attributes:
        preparation_seconds: building the model, and what the experts answer, once.
        seconds: of a step.
        steps: at most.
        coefficients: how many are learnt.
    """

    preparation_seconds: float
    seconds: float
    steps: int
    coefficients: int

    @property
    def total_seconds(self) -> float:
        """Of all steps and their preparation."""
        return self.preparation_seconds + self.seconds * self.steps


def descent_cost(parts: Parts) -> DescentCost | None:
    """Take two steps of a campaign's descent; None where it has none."""
    options, make = descent_of(parts.config.optimiser), parts.problem().terrain
    return None if options is None or make is None else cost_of(options, make, parts.config.seed)


def cost_of(options: Descending, make: Callable[[Course], Terrain], seed: int) -> DescentCost:
    """Take two steps on a terrain."""
    import numpy as np

    started = time.perf_counter()
    terrain = make(options.course(seed))
    values = np.clip(np.full(terrain.shape, 1.0 / terrain.shape[0]), terrain.low, terrain.high)
    terrain.learn(values, 0)
    then = time.perf_counter()
    terrain.learn(0.9 * values, 1)
    seconds = time.perf_counter() - then
    return DescentCost(then - started - seconds, seconds, options.length.steps, values.size)
