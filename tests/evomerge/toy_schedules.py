"""A campaign with a schedule: items are right or wrong, and some are harder than others."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evomerge.archive import Archive
from evomerge.campaign.campaign import Campaign
from evomerge.campaign.progress import Limits
from evomerge.candidate import Candidate, Done, Outcome, Scored
from evomerge.optimisers.cma.cma_es import CmaEsSearch
from evomerge.optimisers.in_generations import InGenerations
from evomerge.optimisers.map.amortised_pareto import AmortisedPareto
from evomerge.optimisers.map.surrogates.predicted_front import FrontSearch
from evomerge.optimisers.niches.m2n2 import M2N2Search
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.pymoo.pymoo_adapter import PymooOptimiser
from evomerge.optimisers.random_search import RandomSearch
from evomerge.schedules.halving import Halving
from evomerge.schedules.own_items import OwnItems
from evomerge.schedules.protocol import Schedule, ScheduleContext
from evomerge.workers.in_process import InProcessPool
from evomerge.workers.protocol import WorkerPool
from fitness.estimation import MeanEstimator, Objective
from fitness.scores import Budget, ItemScores
from fitness.splits import Splits
from tests.evomerge.toy import ToySpace
from tests.evomerge.toy_niches import ToyNiches, toy_crossover

ITEMS = tuple(f"{task}/{i}" for i in range(60) for task in ("sums", "words"))
TASK_OF = {item: item.split("/")[0] for item in ITEMS}
OBJECTIVES = (Objective("sums", ("sums",)), Objective("words", ("words",)))
WEIGHTS = {"sums": 1.0, "words": 1.0}
DIFFICULTIES = np.random.default_rng(5).random(len(ITEMS)).tolist()
BUDGET = Budget("search", ITEMS)


class Again:
    """Proposes one place again and again."""

    def ask(self, n: int) -> list[np.ndarray]:
        return [np.array([0.8, 0.3])] * n

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        del outcomes


OPTIMISERS = {
    "cma_es": lambda: CmaEsSearch(2, weights=WEIGHTS, seed=3, population=8),
    "nsga2": lambda: PymooOptimiser(2, n_objectives=2, seed=3, population=8),
    "random": lambda: RandomSearch(2, seed=3),
    "again": Again,
    "m2n2": lambda: InGenerations(M2N2Search(toy_crossover(), seed=3, population=8), 8),
    "map": lambda: AmortisedPareto(
        2, n_objectives=2, seed=3, initial=8, search=FrontSearch(population=12, generations=4)
    ),
}


SIZES = (20, 60, 120)
N_OWN = 10  # items of a candidate's own


def ingredients(archive: Archive, name: str) -> ScheduleContext:
    """Return what a schedule of an optimiser of `OPTIMISERS` is made of."""
    weights = WEIGHTS if name == "cma_es" else None
    given = ScheduleContext(archive, BUDGET, ITEMS, estimator(), task_of=TASK_OF, weights=weights, missed=lambda _: 0.0)
    return replace(given, told_of_all=name == "map")


def halving(archive: Archive, name: str) -> Schedule:
    return Halving(ingredients(archive, name), SIZES)


def own_items(archive: Archive, name: str) -> Schedule:
    return OwnItems(replace(ingredients(archive, name), own=N_OWN), landmarks=4)


def estimator() -> MeanEstimator:
    return MeanEstimator(OBJECTIVES, task_of=TASK_OF, splits=Splits({"search": ITEMS}))


def accuracies(a: float, b: float) -> dict[str, float]:
    """Return the expected accuracy on each task of a merge with these two weights."""
    closeness = {"sums": (a - 0.8) ** 2 + (b - 0.3) ** 2, "words": (a - 0.3) ** 2 + (b - 0.8) ** 2}
    return {task: 0.9 - 0.8 * min(1.0, distance) for task, distance in closeness.items()}


@functools.lru_cache(maxsize=512)
def all_answers(weights: tuple[float, float]) -> Mapping[str, float]:
    """Return right or wrong: an item is right where a merge is good enough for it, up to chance of its own."""
    expected = accuracies(*weights)
    own = np.random.default_rng([int(1e9 * weight) for weight in weights]).random(len(ITEMS)).tolist()
    return {
        item: float(0.6 * difficulty + 0.4 * chance < expected[TASK_OF[item]])
        for item, difficulty, chance in zip(ITEMS, DIFFICULTIES, own, strict=True)
    }


def weights_of(candidate: Candidate) -> tuple[float, float]:
    a, b = (float(i.parameters["weight"]) for i in candidate.recipe.rules[0].inputs)
    return a, b


def answers(candidate: Candidate, items: Sequence[str]) -> ItemScores:
    right = all_answers(weights_of(candidate))
    return ItemScores(tuple(items), np.array([right[item] for item in items]))


@dataclass
class CountingWorker:
    """Counts the answers."""

    pause: float = 0.0
    answered: int = 0

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        time.sleep(self.pause)
        items = ITEMS if budget.items is None else budget.items
        self.answered += len(items)
        return Scored(candidate, answers(candidate, items), 0.25)

    def evaluate_together(self, candidates: Sequence[Candidate], budget: Budget) -> list[Done]:
        return [self.evaluate(candidate, budget) for candidate in candidates]


def run_schedule(
    path: Path,
    name: str,
    evaluations: int,
    schedule: Callable[[Archive, str], Schedule] = halving,
    *,
    pool: WorkerPool | None = None,
    **options: object,
) -> Archive:
    """Start or resume a campaign with a schedule; return its open archive."""
    archive = Archive.open(path) if path.exists() else Archive.create(path, "name: toy\n")
    settings: Mapping[str, object] = {"schedule": schedule(archive, name), **options}
    optimiser: Optimiser = OPTIMISERS[name]()
    pool = pool or InProcessPool(CountingWorker)
    limits = Limits(evaluations)
    space = ToyNiches() if name == "m2n2" else ToySpace()
    Campaign(archive, space, optimiser, estimator=estimator(), pool=pool, limits=limits, **settings).run()
    return archive
