"""Small real workers, importable by Ray's actors; what a candidate does to one stands in its recipe.

Torch is not imported here: an actor without it starts seconds earlier.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from evomerge.candidate import Candidate, Done, Scored
from evomerge.workers.measured import Measured
from evomerge.workers.worker import Worker
from fitness.errors import FitnessError
from fitness.scores import Budget, ItemScores
from search_spaces.errors import SpaceError
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule

ITEM_IDS = ("words/0", "words/1", "words/2")


def make_candidate(number: int, behaviour: str = "linear", *, where: object = "base", genome: Any = None) -> Candidate:
    """Return a candidate whose operator's name says what it does to `SeededResident` or `ItemFitness`."""
    recipe = Recipe({"base": ParentSource(str(where))}, "base", (Rule(behaviour, (Input("base"),)),), seed=number)
    return Candidate(number, recipe, proposal=number, genome=genome)


class SeededResident:
    """A model of one weight, the recipe's seed, which may also end its process or keep it waiting."""

    def __init__(self) -> None:
        self.model: Any = SimpleNamespace(weight=0.0)

    def become(self, recipe: Recipe) -> None:
        behaviour, where = recipe.rules[0].operator, Path(recipe.parents["base"].model)
        if behaviour == "kills its process" or (behaviour == "kills its process once" and not where.exists()):
            where.touch() if where.parent.is_absolute() else None
            os.kill(os.getpid(), signal.SIGKILL)
        if behaviour == "hangs" or (behaviour == "hangs once" and not where.exists()):
            where.touch() if where.is_absolute() else None
            time.sleep(3600)
        if behaviour == "waits for a file":
            where.with_suffix(".pid").write_text(str(os.getpid()))
            while not where.exists():
                time.sleep(0.01)
        if behaviour == "leaves":
            raise SystemExit(3)
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


class AssemblingResident(SeededResident):
    """Several models of one weight at once."""

    def __init__(self) -> None:
        super().__init__()
        self.assembled_at_once: list[int] = []

    def assembled(self, recipes: Sequence[Recipe]) -> list[SimpleNamespace]:
        models = []
        for recipe in recipes:
            self.become(recipe)
            models.append(SimpleNamespace(weight=self.model.weight))
        self.assembled_at_once.append(len(models))
        return models


class JointItemFitness(ItemFitness):
    """Scores several models at once."""

    def evaluate_together(self, models: Sequence[SimpleNamespace], budget: Budget) -> list[ItemScores | FitnessError]:
        scores: list[ItemScores | FitnessError] = []
        for model in models:
            try:
                scores.append(self.evaluate(model, budget))
            except FitnessError as error:
                scores.append(error)
        return scores


def joint_worker(resident: AssemblingResident, fitness: JointItemFitness) -> Worker:
    def score_together(recipes: Sequence[Recipe], budget: Budget, _: Measured) -> list[ItemScores | FitnessError]:
        return fitness.evaluate_together(resident.assembled(recipes), budget)

    return Worker(resident, fitness, score_together=score_together)


def make_joint_worker() -> Worker:
    return joint_worker(AssemblingResident(), JointItemFitness())


def make_scoring_worker() -> Worker:
    return Worker(SeededResident(), ItemFitness())


def make_broken_worker() -> Worker:
    raise SpaceError("parents: expected a directory with config.json, found 'nowhere'")


class DeviceReporter:
    """Scores every candidate with the number of the only device that its process sees; -1 for none."""

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        time.sleep(0.2)  # long enough for both of two actors to be asked
        return report(candidate, int(os.environ.get("CUDA_VISIBLE_DEVICES") or -1))


class ThreadReporter:
    """Scores every candidate with its process's number of threads."""

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        import torch

        return report(candidate, torch.get_num_threads())


def report(candidate: Candidate, value: int) -> Scored:
    return Scored(candidate, ItemScores(("report/0",), np.array([float(value)])), 0.0)


class IdleWorker:
    """Does nothing, as fast as possible."""

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        return report(candidate, 0)


class RaisingWorker:
    """Breaks the promise not to raise."""

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        raise KeyError("no such tensor")
