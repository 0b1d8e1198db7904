"""lq-CMA-ES: pycma's linear and quadratic surrogate decides which genomes of a generation are scored at all.

Hansen, "A Global Surrogate Assisted CMA-ES", GECCO 2019; the model and its use are pycma's (`cma.fitness_models`).
pycma calls the objective function whenever it wants a value. Here nothing can be called: the surrogate runs on a copy
of its state with the values that are known, until it wants one that is not. What it wants then is a batch, scored like
any other genomes, after which it runs again from the same state and comes further.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Point = NDArray[np.float64]


class _WantedError(Exception):
    """The surrogate wants a value that is not known."""


class Surrogate:
    """What pycma's surrogate knows, from the start of a run to its end."""

    def __init__(self) -> None:
        from cma.fitness_models import SurrogatePopulation

        self._surrogate: Any = SurrogatePopulation(None)
        self._advanced: Any = None

    def wanted(self, points: Sequence[Point], value: Callable[[int], float | None]) -> list[int]:
        """Return which of a generation's points must be scored next; none when `losses` can tell all their values.

        The points are the same until `losses` was called; `value` returns a point's loss, None where it is not known.
        """
        trial = copy.deepcopy(self._surrogate)
        found: list[int] = []

        def fitness(x: Point) -> float:
            number = next(i for i, point in enumerate(points) if point is x)
            known = value(number)
            if known is None:
                found.extend(_batch(trial))
                raise _WantedError
            return known

        trial.fitness = fitness
        try:
            self._losses = [float(loss) for loss in trial(list(points))]
        except _WantedError:
            return found
        trial.fitness = None
        self._advanced = trial
        return []

    def losses(self) -> list[float]:
        """Return the losses of the generation for which `wanted` found nothing more, and keep what it taught."""
        assert self._advanced is not None
        self._surrogate, self._advanced = self._advanced, None
        return self._losses

    def optimum(self) -> Point:
        """Return where the model expects the best point, inside the unit cube."""
        return np.clip(np.asarray(self._surrogate.model.xopt, dtype=np.float64), 0.0, 1.0)


def _batch(surrogate: Any) -> list[int]:
    """Return the points that the surrogate would score without looking at its model in between.

    It is called at the first point of such a batch, when the model is as it was when pycma sorted the points by it.
    """
    evals, model = surrogate.evals, surrogate.model
    order = np.argsort([model.eval(x) for x in evals.X]) if model.size > 1 else range(len(evals.X))
    waiting = [int(i) for i in order if not evals.evaluated[i]]
    return waiting[: evals.last_evaluations]
