"""A campaign in which candidates race: items are right or wrong, and some are harder than others."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from evomerge.archive import Archive
from evomerge.campaign.loop import Campaign
from evomerge.campaign.progress import Limits
from evomerge.campaign.racing import RacingPlan
from evomerge.candidate import Candidate, Done, Scored
from evomerge.optimisers.cma_es import CmaEs
from evomerge.optimisers.protocol import Optimiser
from evomerge.optimisers.pymoo_adapter import PymooOptimiser
from evomerge.optimisers.random_search import RandomSearch
from evomerge.workers.in_process import InProcessPool
from evomerge.workers.protocol import WorkerPool
from evomerge.workers.race import block_ends, joined, open_items, run_race
from fitness.estimators import MeanEstimator, Objective
from fitness.racing import RaceRules
from fitness.scores import Budget, ItemScores
from fitness.splits import Splits
from tests.evomerge.toy import ToySpace

ITEMS = tuple(f"{task}/{i}" for i in range(60) for task in ("sums", "words"))
TASK_OF = {item: item.split("/")[0] for item in ITEMS}
OBJECTIVES = (Objective("sums", ("sums",)), Objective("words", ("words",)))
WEIGHTS = {"sums": 1.0, "words": 1.0}
DIFFICULTIES = np.random.default_rng(5).random(len(ITEMS)).tolist()
BUDGET = Budget("search", ITEMS)

OPTIMISERS = {
    "cma_es": lambda: CmaEs(2, weights=WEIGHTS, seed=3, population=8),
    "nsga2": lambda: PymooOptimiser(2, n_objectives=2, seed=3, population=8),
    "random": lambda: RandomSearch(2, seed=3),
}


def rules(name: str, **options: object) -> RaceRules:
    """Return the rules for an optimiser of `OPTIMISERS`."""
    weights = WEIGHTS if name == "cma_es" else None
    return RaceRules(OBJECTIVES, TASK_OF, **{"weights": weights, "delta": 0.05, "first_look": 10, **options})


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
class RacingWorker:
    """Answers block after block, and counts the answers."""

    rules: RaceRules
    pause: float = 0.0
    answered: int = 0
    budgets: dict[int, Budget] = field(default_factory=dict)

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        time.sleep(self.pause)
        self.budgets[candidate.number] = budget
        left = open_items(budget).items or ()
        if not budget.rivals:
            self.answered += len(left)
            return Scored(candidate, joined([budget.known, answers(candidate, left)]), 0.25)
        raced = run_race(self._blocks(candidate, left, block_ends(budget, self.rules)), budget, self.rules)
        return Scored(candidate, raced.scores, 0.25, raced.lost)

    def _blocks(self, candidate: Candidate, items: Sequence[str], ends: Sequence[int]):
        for start, end in pairwise([0, *ends]):
            block = items[start:end]
            self.answered += len(block)
            yield answers(candidate, block)

    def evaluate_together(self, candidates: Sequence[Candidate], budget: Budget) -> list[Done]:
        return [self.evaluate(candidate, budget) for candidate in candidates]


def race_campaign(
    path: Path, name: str, evaluations: int, *, pool: WorkerPool | None = None, **options: object
) -> Archive:
    """Start or resume a campaign that races, or one that does not with `racing=None`; return its open archive."""
    archive = Archive.open(path) if path.exists() else Archive.create(path, "name: toy\n")
    settings: Mapping[str, object] = {"racing": RacingPlan(rules(name)), "budget": BUDGET, **options}
    optimiser: Optimiser = OPTIMISERS[name]()
    pool = pool or InProcessPool(lambda: RacingWorker(rules(name)))
    limits = Limits(evaluations)
    Campaign(archive, ToySpace(), optimiser, estimator=estimator(), pool=pool, limits=limits, **settings).run()
    return archive
