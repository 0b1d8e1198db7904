"""The experts that tasks compare candidates with: each becomes the resident model once, before it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evomerge.workers.worker import Resident
from fitness.scores import Budget
from fitness.tasks.suite import TaskSuite
from search_spaces.recipes.recipe import Recipe


@dataclass(frozen=True)
class Experts:
    """Lets a suite learn from parents, whichever it misses.

    Attributes:
        resident: the worker's live model.
        suite: the worker's fitness.
        alone: parent -> the recipe of that parent alone.
    """

    resident: Resident
    suite: TaskSuite
    alone: Mapping[str, Recipe]

    def learn(self, budget: Budget) -> None:
        """Let every expert answer those of the budget's items that it has not answered yet."""
        for expert, items in self.suite.to_learn(budget).items():
            self.resident.become(self.alone[expert])
            self.suite.learn(self.resident.model, items)
