"""Which optimiser and which schedule suit the rest of a campaign file that names none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evomerge.optimisers import M2N2, Bayes, CmaEs, OptimiserOptions, Pymoo
from evomerge.schedules import AllItemsConfig, OwnItemsConfig, ScheduleOptions
from evomerge.spaces import Niches, Weights

MOST_OF_BAYES = 300  # evaluations: what a proposal takes grows with what is known, and others catch up


def suitable_optimiser(data: Mapping[str, Any]) -> OptimiserOptions:
    """Return the optimiser of a campaign that names none: bayes where it was measured to be ahead.

    That is in spaces of weights at few evaluations, `experiments/surrogate_benchmark`. It learns from item scores, so
    not where an estimator of the user's own makes the objectives of them.
    """
    space, budget = data.get("space"), data.get("budget")
    if isinstance(space, Niches):
        return M2N2()
    few = budget is not None and budget.evaluations <= MOST_OF_BAYES
    if isinstance(space, Weights) and few and data.get("estimator") is None:
        return Bayes()
    return CmaEs() if len(data.get("objectives", ())) == 1 else Pymoo("nsga2")


def suitable_schedule(data: Mapping[str, Any]) -> ScheduleOptions:
    """Return the schedule of a campaign that names none: own items where the optimiser pools them."""
    optimiser, budget = data.get("optimiser"), data.get("budget")
    pooled = optimiser is not None and budget is not None and optimiser.pools_items and budget.items is not None
    return OwnItemsConfig() if pooled else AllItemsConfig()
