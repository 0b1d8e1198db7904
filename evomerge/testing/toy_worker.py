"""A small real worker, importable by Ray's actors; what a candidate does to it stands in its recipe."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from evomerge.candidate import Candidate
from evomerge.workers.worker import Worker
from fitness.errors import FitnessError
from fitness.scores import Budget, ItemScores
from search_spaces.errors import SpaceError
from search_spaces.recipes.recipe import Input, ParentSource, Recipe, Rule

ITEM_IDS = ("words/0", "words/1", "words/2")


def make_candidate(number: int, behaviour: str = "linear", *, where: object = "base", genome: Any = None) -> Candidate:
    """Return a candidate whose operator's name says what it does to `SeededResident` or `ItemFitness`."""
    recipe = Recipe({"base": ParentSource(str(where))}, "base", (Rule(behaviour, (Input("base"),)),), seed=number)
    return Candidate(number, recipe, proposal=number, genome=genome)


class SeededResident:
    """A model of one weight: the recipe's seed."""

    def __init__(self) -> None:
        self.model: Any = SimpleNamespace(weight=0.0)

    def become(self, recipe: Recipe) -> None:
        behaviour = recipe.rules[0].operator
        if behaviour == "unmergeable":
            raise SpaceError("operator: expected one that exists,\n found 'unmergeable'")
        self.model.weight = -1.0 if behaviour == "unscorable" else float(recipe.seed)


class ItemFitness:
    """Scores item i of a model with weight w as 1 / (1 + w + i)."""

    item_ids = ITEM_IDS

    def evaluate(self, model: Any, budget: Budget) -> ItemScores:
        if model.weight < 0:
            raise FitnessError("unscorable: expected a weight of at least 0, found a negative one")
        ids = budget.items or ITEM_IDS
        return ItemScores(ids, np.array([1 / (1 + model.weight + ITEM_IDS.index(i)) for i in ids]))


def make_scoring_worker() -> Worker:
    return Worker(SeededResident(), ItemFitness())
