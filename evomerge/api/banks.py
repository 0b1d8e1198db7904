"""What `evomerge.reduce` makes of banks: which items they know, and where a benchmark's parameters came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from evomerge.responses.bank import Bank, CampaignItems, MatchedBank, match
from fitness.errors import FitnessError
from fitness.reduction.known_items import fit_answers, join_matrices
from fitness.reduction.linking import FEWEST_KNOWN, KnownItems
from fitness.reduction.replay import FEWEST_MODELS
from fitness.reduction.response_matrix import ResponseMatrix, TaskItems
from fitness.tasks.suite import TaskSuite


@dataclass(frozen=True, eq=False)
class UsedBanks:
    """Banks and the campaign's search items.

    Attributes:
        matched: every bank, with what it has of the items.
        campaign: the items.
        tasks: what the items make up.
    """

    matched: tuple[MatchedBank, ...]
    campaign: CampaignItems
    tasks: TaskItems

    @classmethod
    def of(cls, banks: Sequence[Bank], suite: TaskSuite, items: tuple[str, ...], tasks: TaskItems) -> UsedBanks:
        """Find the items in every bank."""
        asked = suite.asked_digests if banks else {}
        campaign = CampaignItems(items, {item: asked[item] for item in items if item in asked}, suite.measures)
        return cls(tuple(match(bank, campaign) for bank in banks), campaign, tasks)

    @property
    def places(self) -> frozenset[int]:
        """The items that some bank knows, by index."""
        return frozenset(place for each in self.matched for place in each.places.tolist())

    @property
    def lines(self) -> list[str]:
        """What is to be said of the banks before anything is fitted."""
        n = len(self.campaign.items)
        found = []
        for each in self.matched:
            bank, models = each.bank, f" by {len(each.bank.answers)} models" if each.bank.answers else ""
            what = f"{bank.kind}{models} of {len(each.places)} of {n} search items"
            found.append(f"{bank.path}: {what} ({len(bank.keys)} items in the bank)")
        if self.matched and (missing := n - len(self.places)):
            examples = [item for i, item in enumerate(self.campaign.items) if i not in self.places][:2]
            found.append(
                f"{missing} search items are in no bank, {', '.join(map(repr, examples))} among them: their parameters "
                "come from the campaign's own models"
            )
        return found

    @cached_property
    def answers(self) -> ResponseMatrix | None:
        """The banks' answers where they are all that it takes: at least ten models', to every search item."""
        matrix = self._matrix
        if matrix is None or len(matrix.models) < FEWEST_MODELS or not np.isfinite(matrix.scores).any(axis=0).all():
            return None
        of_all = np.stack([np.isfinite(matrix.scores[:, items]).any(axis=1) for items in self.tasks.items], axis=1)
        rows = of_all.all(axis=1)
        if rows.sum() < FEWEST_MODELS or not np.isfinite(matrix.scores[rows]).any(axis=0).all():
            return None
        models = tuple(matrix.models[int(row)] for row in np.flatnonzero(rows))
        return ResponseMatrix(models, matrix.items, matrix.scores[rows])

    @cached_property
    def _matrix(self) -> ResponseMatrix | None:
        matrices = [each.matrix(self.campaign) for each in self.matched if each.bank.answers]
        return join_matrices(matrices) if matrices else None

    def known(self, say: Callable[[str], object]) -> KnownItems:
        """Return the items whose parameters come from the banks: given ones first, then those fitted to answers."""
        found = [
            (each.places, each.bank.parameters.of(each.keys))
            for each in self.matched
            if each.bank.parameters is not None
        ]
        if self._matrix is not None:
            found.append(fit_answers(self._matrix, self.tasks, say))
        known = KnownItems.of_banks(found)
        if len(known.places) < FEWEST_KNOWN:
            raise FitnessError(
                f"bank: expected at least {FEWEST_KNOWN} of the campaign's search items, found {len(known.places)}"
            )
        return known

    def origin(self, responses: ResponseMatrix) -> dict[str, Any]:
        """Return what the reduced benchmark says of its parameters; nothing without a bank."""
        if not self.matched:
            return {}
        only = responses is self.answers
        return {
            "banks": [each.record for each in self.matched],
            "own_models": 0 if only else len(responses.models),
            "items_fitted_here": 0 if only else len(self.campaign.items) - len(self.places),
            "scale": "the bank's models have mean 0 and covariance I"
            if only
            else "own models have mean 0 and covariance I; the banks' parameters were moved there and held fixed",
        }
