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

import numpy as np

from evomerge.candidate import Candidate, Done, Scored
from evomerge.testing import toy_worker
from evomerge.testing.toy_worker import ITEM_IDS, ItemFitness, make_candidate  # noqa: F401 (for the tests)
from evomerge.workers.worker import Worker
from fitness.errors import FitnessError
from fitness.scores import Budget, ItemScores
from search_spaces.errors import SpaceError
from search_spaces.recipes.recipe import Recipe


class SeededResident(toy_worker.SeededResident):
    """A model of one weight, which may also end its process or keep it waiting."""

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
        super().become(recipe)


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


def make_joint_worker() -> Worker:
    return Worker(AssemblingResident(), JointItemFitness())


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
