"""What a landmark takes beside being scored, measured in small before a search begins."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

from evomerge.assembly.descent_cost import cost_of
from evomerge.assembly.informed import gathering
from evomerge.assembly.live_models import alone
from evomerge.assembly.parts import Parts
from evomerge.assembly.pool import build_worker
from evomerge.candidate import Candidate, Failure
from evomerge.config.further_landmarks import GRADIENT
from evomerge.optimisers import OptimiserError
from evomerge.optimisers.gradient.options import Gradient
from fitness.errors import FitnessError
from fitness.scores import Budget
from search_spaces.errors import SpaceError
from search_spaces.merging.factors import limit_from_environment
from search_spaces.operators.registry import find_operator
from search_spaces.recipes.recipe import Recipe

SHARE = 0.1  # of the search, for what a landmark takes beside its evaluation
PART = 20  # a candidate is timed on every 20th of its items
FEWEST = 8  # but on so many at least
GIB = 2**30
BACKWARD = 3  # a step on items takes about so many times what scoring them takes
ANSWERS = 3  # collecting statistics of a prompt takes at most so many times what scoring it takes


class Preparation:
    """Says why an operator's landmark costs too much before it can be scored."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def __call__(self, operator: str, recipe: Recipe) -> str:
        """Return the reason, empty where there is none.

        One candidate is timed, twice, on a part of its items; one matrix, the smallest, stands for all others, which
        take longer as o n² + n³ grows.
        """
        if operator == GRADIENT:
            return self._descending()
        row = find_operator(operator)
        read = set(row.statistics) - set(self._parts.config.space.statistics)
        if row.elementwise or not (row.spectral or read):
            return ""
        if read:
            try:
                gathering(replace(self._parts, also_read=(operator,)))
            except FitnessError as error:
                return str(error)
            kept, limit = self._gram_bytes(recipe), limit_from_environment()
            if kept > limit:
                return (
                    f"what parents compute would take {kept / GIB:.0f} GiB of disk (EVOMERGE_CACHE_GB: {limit / GIB:g})"
                )
        share = (self._reading_seconds if read else self._merging_seconds(recipe)) / self._search_seconds
        return f"to prepare it takes {share:.0%} of the search" if share >= SHARE else ""

    def _descending(self) -> str:
        """Return why a descent costs too much: what its passes take about, then two steps, timed."""
        options, config, splits = Gradient(per="group"), self._parts.config, self._parts.fitness.splits
        tasks = {task for objective in self._parts.objectives for task in objective.tasks}
        of_task = Counter(self._parts.fitness.task_of[item] for item in splits.items["search"])
        learnt = sum(min(of_task[task], options.items) for task in tasks) * (1 - options.held_back)
        share = BACKWARD * options.steps * learnt / len(self._items) * config.workers.most / config.budget.evaluations
        make = self._parts.problem().terrain
        if share < SHARE and make is not None:
            try:
                share = cost_of(options, make, config.seed).total_seconds / self._search_seconds
            except (FitnessError, SpaceError, OptimiserError) as error:
                return str(error)
        return f"to descend takes {share:.0%} of the search" if share >= SHARE or make is None else ""

    @property
    def _reading_seconds(self) -> float:
        tasks = {task for objective in self._parts.objectives for task in objective.tasks}
        prompts = self._parts.config.statistics.prompts * len(tasks)
        return ANSWERS * prompts / len(self._items) * self._candidate_seconds

    def _gram_bytes(self, recipe: Recipe) -> int:
        """Return at most how much the covariances of all parents take: one of float32 for each matrix."""
        shapes = self._matrices(recipe).values()
        return 4 * len(recipe.rules[0].inputs) * sum(inputs * inputs for _, inputs in shapes)

    def _matrices(self, recipe: Recipe) -> dict[str, tuple[int, int]]:
        from search_spaces.layers.sources import output_names

        base = self._parts.parents[recipe.base]
        locate = base.architecture.locate
        inside = [name for name in output_names(recipe, self._parts.parents) if locate(name).layer is not None]
        shapes = {name: base.shape(name) for name in inside}
        return {name: (shape[0], shape[1]) for name, shape in shapes.items() if len(shape) == 2}

    @cached_property
    def _items(self) -> tuple[str, ...]:
        return tuple(self._parts.search_budget.items or self._parts.fitness.splits.items["search"])

    @cached_property
    def _search_seconds(self) -> float:
        budget = self._parts.config.budget
        in_all = self._candidate_seconds * budget.evaluations / self._parts.config.workers.most
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
        from search_spaces.merging.materialise import merged_tensor

        costs = {name: float(n * n * (o + n)) for name, (o, n) in self._matrices(recipe).items()}
        if not costs:
            return 0.0
        smallest = min(costs, key=lambda name: costs[name])
        seconds = timed(lambda: merged_tensor(recipe, self._parts.parents, smallest))
        return seconds * sum(costs.values()) / costs[smallest]


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began
