"""A worker that scores candidates on the label-free screen as well as on benchmark items, with one resident model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evomerge.candidate import Candidate, Done
from evomerge.workers.protocol import CandidateWorker
from evomerge.workers.worker import Resident, Worker
from fitness.scores import Budget
from fitness.screening import Screening
from search_spaces.recipes.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn


def with_screening(
    scoring: CandidateWorker, screening: Screening, resident: Resident, alone: Mapping[str, Recipe]
) -> ScreeningWorker:
    """Return a worker that screens, too; before the first candidate the experts answer.

    Args:
        scoring: scores benchmark items.
        screening: scores the items of the screen.
        resident: the live model of both.
        alone: checkpoint -> the recipe of it alone.
    """

    def become(checkpoint: str) -> nn.Module:
        resident.become(alone[checkpoint])
        return resident.model

    screen = Worker(resident, screening, lambda _: screening.learn(become))
    return ScreeningWorker(scoring, screen, frozenset(screening.item_ids))


@dataclass(frozen=True)
class ScreeningWorker:
    """Sends each budget to whom its items belong; implements `CandidateWorker`.

    Attributes:
        scoring: scores benchmark items.
        screening: scores the items of the screen.
        screen_items: their ids.
    """

    scoring: CandidateWorker
    screening: CandidateWorker
    screen_items: frozenset[str]

    def evaluate(self, candidate: Candidate, budget: Budget) -> Done:
        """Return the item scores, or the failure (see `CandidateWorker.evaluate`)."""
        return self._worker(budget).evaluate(candidate, budget)

    def evaluate_together(self, candidates: Sequence[Candidate], budget: Budget) -> list[Done]:
        """Return what `evaluate` returns for each candidate."""
        return self._worker(budget).evaluate_together(candidates, budget)

    def _worker(self, budget: Budget) -> CandidateWorker:
        return self.screening if budget.items and budget.items[0] in self.screen_items else self.scoring
