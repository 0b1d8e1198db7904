"""Nested MAP: fronts of two models at a time, for many parents.

Li et al. 2024 (arXiv 2406.07529), section on nested merging: the number of unknowns of one front over N parents grows
with N²; nested, N parents take about N fronts over two. A chosen point of each front becomes a model of the next
level, so a preference between the objectives must be known beforehand, and one model comes out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import Generation
from evomerge.optimisers.losses import check_weights, mean_loss
from evomerge.optimisers.map.pair_front import PairFront, Unit
from evomerge.optimisers.map.surrogates.front_search import FrontSearch
from evomerge.seeds import stream_seed
from evomerge.typing import Floats


class NestedPareto:
    """Pair the parents, find each pair's front, freeze each pair's weights at its preferred point, and pair again.

    Every parent is scored alone first; an objective belongs to the parent that is best at it. Level by level, the two
    models whose preferred scores at their own objectives are closest are paired, then the next two; one may be left
    over. A pair's front (`AmortisedPareto` over the factors of the two models) is about the objectives that belong to
    the two. The last pair is searched on until the budget ends.

    Only for merges in which a pair of models with frozen weights is a model itself: linear and task_arithmetic.

    Args:
        bounds: (lowest, highest) weight of each parent, at gene 0 and 1; 0 must be in reach; at least two parents.
        preference: objective name -> weight, at least 0, one of them positive; in the campaign's order.
        seed: names the streams of random numbers, at least 0.
        per_pair: evaluations of each pair, at least 12.
        search: of the surrogates' fronts.

    Raises:
        OptimiserError: an argument is out of range.
    """

    def __init__(
        self,
        bounds: Sequence[tuple[float, float]],
        *,
        preference: Mapping[str, float],
        seed: int,
        per_pair: int = 20,
        search: FrontSearch | None = None,
    ) -> None:
        if len(bounds) < 2:
            raise OptimiserError(f"parents: expected at least 2 to pair, found {len(bounds)}")
        if not all(low <= 0.0 < high for low, high in bounds):
            raise OptimiserError(f"genes.weight: expected bounds that hold 0, found {list(bounds)}")
        check_weights(preference)
        self._low, self._high = np.array(bounds, dtype=np.float64).T
        self._preference, self._seed = dict(preference), seed
        self._per_pair, self._search = per_pair, search
        self._steps = self._levels()
        self._generation = Generation(self._genomes(next(self._steps)), first=0)

    def ask(self, n: int) -> list[Floats]:
        """Return up to n genomes, each (dim,) in [0, 1]; none while outcomes are pending."""
        if n > 0 and self._generation.complete:
            self._generation = Generation(self._genomes(next(self._steps)), first=self._generation.end)
        return self._generation.hand_out(n)

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Receive outcomes in any order; learn when a step is complete.

        Raises:
            OptimiserError: an outcome is not of a pending proposal, or lacks an objective.
        """
        for outcome in outcomes:
            if isinstance(outcome, Evaluation):
                mean_loss(outcome, self._preference)
        self._generation.receive(outcomes)

    def _genomes(self, weights: Floats) -> Floats:
        return np.asarray(np.clip((weights - self._low) / (self._high - self._low), 0.0, 1.0))

    def _levels(self) -> Iterator[Floats]:
        """Yield (n, dim) weights of one step after the other; when asked again, their outcomes are there."""
        alone = np.diag(np.minimum(self._high, 1.0))
        yield alone
        units = self._alone(alone, self._generation.in_order())
        level = 0
        while True:
            pairs, left_over = self._paired(units, level)
            last = len(pairs) == 1 and not left_over
            while last or any(pair.n_told < self._per_pair for pair in pairs):
                asked = [pair.ask(None if last else self._per_pair - pair.n_told) for pair in pairs]
                yield np.concatenate(asked)
                outcomes = self._generation.in_order()
                for pair, own in zip(pairs, asked, strict=True):
                    pair.tell(outcomes[: len(own)])
                    outcomes = outcomes[len(own) :]
            units, level = [*(pair.preferred(self._preference) for pair in pairs), *left_over], level + 1

    def _alone(self, weights: Floats, outcomes: Sequence[Outcome]) -> list[Unit]:
        """Return the parents; each objective belongs to the one that is best at it, ties to the first."""
        values = np.full((len(outcomes), len(self._preference)), -np.inf)
        for row, outcome in zip(values, outcomes, strict=True):
            if isinstance(outcome, Evaluation):
                found = {objective.name: objective.value for objective in outcome.estimate.objectives}
                row[:] = [found[name] for name in self._preference]
        owners, names = values.argmax(axis=0), list(self._preference)
        return [
            Unit(
                vector,
                tuple(name for name, owner in zip(names, owners, strict=True) if owner == parent),
                dict(zip(names, row.tolist(), strict=True)) if np.isfinite(row).all() else {},
            )
            for parent, (vector, row) in enumerate(zip(weights, values, strict=True))
        ]

    def _paired(self, units: Sequence[Unit], level: int) -> tuple[list[PairFront], list[Unit]]:
        """Return the closest pairs, greedily, and what is left over."""
        rest = sorted(units, key=lambda unit: unit.level(self._preference))
        pairs: list[PairFront] = []
        while len(rest) > 1:
            levels = np.array([unit.level(self._preference) for unit in rest])
            first = int(np.argmin(np.diff(levels)))
            one, other = rest.pop(first), rest.pop(first)
            pairs.append(
                PairFront(
                    one,
                    other,
                    bounds=(self._low, self._high),
                    objectives=tuple(self._preference),
                    seed=stream_seed(self._seed, "nested_map", str(level), str(len(pairs))),
                    search=self._search,
                )
            )
        return pairs, rest
