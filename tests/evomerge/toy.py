"""A campaign without weights: real recipes, and scores that are a formula of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Candidate, Done, Failure, Scored
from fitness.scores import Budget, Estimate, ItemScores, ObjectiveEstimate
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule
from search_spaces.spaces.genes import GeneInfo
from search_spaces.spaces.space import Landmark

PARENTS = {name: ParentSource(f"/models/{name}") for name in ("base", "alpha", "beta")}
ITEMS = tuple(f"{task}/{i}" for i in range(10) for task in ("sums", "words"))


def weights_recipe(*weights: float) -> Recipe:
    inputs = tuple(Input(name, {"weight": w}) for name, w in zip(("alpha", "beta"), weights, strict=True))
    return Recipe(PARENTS, "base", (Rule("task_arithmetic", inputs),))


class ToySpace:
    """Two weights in [0, 1]."""

    dim = 2

    def decode(self, genome: NDArray[np.float64]) -> Recipe:
        return weights_recipe(*map(float, genome))

    def encode(self, recipe: Recipe) -> NDArray[np.float64]:
        return np.array([i.parameters["weight"] for i in recipe.rules[0].inputs], dtype=np.float64)

    def gene_names(self) -> list[GeneInfo]:
        return [GeneInfo("weight", name, None, None, (0.0, 1.0)) for name in ("alpha", "beta")]

    def landmarks(self) -> list[Landmark]:
        return [
            Landmark("alpha", weights_recipe(1.0, 0.0)),
            Landmark("beta", weights_recipe(0.0, 1.0)),
            Landmark("uniform mean", weights_recipe(0.5, 0.5)),
        ]


@dataclass
class ToyWorker:
    """Scores grow with closeness of the two weights to two different optima; some recipes fail on purpose."""

    fail_below: float = -1.0
    pause: float = 0.0
    seen: list[int] = field(default_factory=list)

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        self.seen.append(candidate.number)
        time.sleep(self.pause)
        a, b = (float(i.parameters["weight"]) for i in candidate.recipe.rules[0].inputs)
        if a < self.fail_below:
            return Failure(candidate, "evaluate", f"weight {a:.3f} is too small")
        closeness = {"sums": 1 - (a - 0.8) ** 2 - (b - 0.3) ** 2, "words": 1 - (a - 0.2) ** 2 - (b - 0.9) ** 2}
        items = ITEMS if budget.items is None else budget.items
        values = [closeness[item.split("/")[0]] - 0.01 * int(item.split("/")[1]) for item in items]
        return Scored(candidate, ItemScores(items, np.array(values)), 0.25)

    def evaluate_together(self, candidates: Sequence[Candidate], budget: Budget) -> list[Done]:
        return [self.evaluate(candidate, budget) for candidate in candidates]


class ToyEstimator:
    """Two objectives, one per task."""

    def estimate(self, scores: ItemScores, *, shares: Mapping[str, float] | None = None) -> Estimate:
        objectives = []
        for task in ("sums", "words"):
            values = scores.values[[item.startswith(task) for item in scores.item_ids]]
            objectives.append(ObjectiveEstimate(task, float(values.mean()), 0.01, len(values)))
        return Estimate("search", tuple(objectives))
