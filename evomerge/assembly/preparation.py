"""What a landmark takes beside being scored, measured in small before a search begins."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cached_property

from evomerge.assembly.live_models import alone
from evomerge.assembly.parts import Parts
from evomerge.assembly.pool import build_worker
from evomerge.candidate import Candidate, Failure
from fitness.scores import Budget
from search_spaces.operators.registry import find_operator
from search_spaces.recipes.groups import locate
from search_spaces.recipes.recipe import Recipe

PART = 20  # a candidate is timed on every 20th of its items
FEWEST = 8  # but on so many at least
ANSWERS = 3  # collecting statistics of a prompt takes at most so many times what scoring it takes


class Preparation:
    """Says what share of a search an operator's landmark takes before it can be scored; see `Parts`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def __call__(self, operator: str, recipe: Recipe) -> float:
        """Return a share, 0 where nothing has to be prepared.

        One candidate is timed, twice, on a part of its items; one matrix, the smallest, stands for all others, which
        take longer as o n² + n³ grows.
        """
        row = find_operator(operator)
        if row.elementwise or not (row.spectral or row.statistics):
            return 0.0
        if not row.statistics:
            return self._merging_seconds(recipe) / self._search_seconds
        if set(row.statistics) <= set(self._parts.config.space.statistics):
            return 0.0  # collected anyway
        tasks = {task for objective in self._parts.objectives for task in objective.tasks}
        candidates = ANSWERS * self._parts.config.statistics.prompts * len(tasks) / len(self._items)
        return candidates * self._candidate_seconds / self._search_seconds

    @cached_property
    def _items(self) -> tuple[str, ...]:
        return tuple(self._parts.search_budget.items or self._parts.fitness.splits.items["search"])

    @cached_property
    def _search_seconds(self) -> float:
        budget = self._parts.config.budget
        in_all = self._candidate_seconds * budget.evaluations / self._parts.config.workers.count
        return in_all if budget.hours is None else min(in_all, 3600 * budget.hours)

    @cached_property
    def _candidate_seconds(self) -> float:
        """Seconds of a candidate; infinite where it fails, which the search itself will tell."""
        config, items = self._parts.config, self._items
        part = items[:: max(1, min(PART, len(items) // FEWEST))]
        recipe = alone(config, config.base_name)
        worker, seconds = build_worker(self._parts), math.inf
        for number in range(2):  # the first one prepares what all others find
            done = worker.evaluate(Candidate(number, recipe), Budget("search", part))
            seconds = math.inf if isinstance(done, Failure) else done.seconds * len(items) / len(part)
        return seconds

    def _merging_seconds(self, recipe: Recipe) -> float:
        from search_spaces.layers.sources import output_names
        from search_spaces.merging.materialise import merged_tensor

        parents = self._parts.parents
        base = parents[recipe.base]
        costs = {
            name: _cost(base.shape(name))
            for name in output_names(recipe, parents)
            if locate(name).layer is not None and len(base.shape(name)) == 2
        }
        if not costs:
            return 0.0
        smallest = min(costs, key=lambda name: costs[name])
        return timed(lambda: merged_tensor(recipe, parents, smallest)) * sum(costs.values()) / costs[smallest]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _cost(shape: tuple[int, ...]) -> float:
    outputs, inputs = shape
    return float(inputs * inputs * (outputs + inputs))
