"""Recipes that a search has scored already: an optimiser that proposes one again is told its scores at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evomerge.archive import Archive
from evomerge.candidate import Candidate, Evaluation, Outcome, Scored
from fitness.scores import Budget, ItemScores


class Answered:
    """Which recipe was scored as which candidate.

    Args:
        archive: keeps the scores.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._number_of: dict[str, int] = {}

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Take in what the campaign was told; failures may be tried again."""
        for outcome in outcomes:
            if isinstance(outcome, Evaluation):
                self._number_of.setdefault(outcome.candidate.recipe.digest, outcome.candidate.number)

    def recall(self, candidate: Candidate, budget: Budget) -> Scored | None:
        """Return a candidate with the scores that its recipe had, in no time; None where they are not all known."""
        number = self._number_of.get(candidate.recipe.digest)
        known = None if number is None else self._archive.scores(number, "search")
        if known is None:
            return None
        if budget.items is None:
            return Scored(candidate, known, 0.0)
        value_of = dict(zip(known.item_ids, known.values.tolist(), strict=True))  # of further items too
        if not all(item in value_of for item in budget.items):
            return None
        return Scored(candidate, ItemScores(budget.items, np.array([value_of[item] for item in budget.items])), 0.0)
