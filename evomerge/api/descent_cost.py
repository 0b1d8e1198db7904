"""What a descent on coefficients costs, measured before a search is started."""

from __future__ import annotations

import time
from dataclasses import dataclass

from evomerge.assembly import Parts
from evomerge.optimisers.gradient.options import descent_of


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
    import numpy as np

    options = descent_of(parts.config.optimiser)
    make = parts.problem().terrain
    if options is None or make is None:
        return None
    started = time.perf_counter()
    terrain = make(options.course(parts.config.seed))
    values = np.clip(np.full(terrain.shape, 1.0 / terrain.shape[0]), terrain.low, terrain.high)
    terrain.learn(values, 0)
    then = time.perf_counter()
    terrain.learn(0.9 * values, 1)
    seconds = time.perf_counter() - then
    return DescentCost(then - started - seconds, seconds, options.length.steps, values.size)
