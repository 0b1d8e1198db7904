"""Nested MAP: fronts of two models at a time, for many parents.

Li et al. 2024 (arXiv 2406.07529), section on nested merging: the number of unknowns of one front over N parents grows
with N²; nested, N parents take about N fronts over two. A chosen point of each front becomes a model of the next
level, so a preference between the objectives must be known beforehand, and one model comes out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import Generation
from evomerge.optimisers.losses import check_weights, mean_loss
from evomerge.optimisers.map.amortised_pareto import AmortisedPareto
from evomerge.optimisers.map.surrogates.objectives import answered, fit_objectives, measured
from evomerge.optimisers.map.surrogates.predicted_front import FEWEST, FrontSearch
from evomerge.seeds import stream_seed
from evomerge.typing import Floats

DESIGN = 12  # (2 + 1)(2 + 2)


@dataclass(frozen=True, eq=False)
class Unit:
    """A model that is merged as a whole: a parent, or parents whose weights are frozen in proportion."""

    weights: Floats  # (n_parents,)
    own: tuple[str, ...]  # the objectives that belong to it; none for a parent that is best at none
    scores: Mapping[str, float]  # objective -> value; empty when it could not be scored

    def level(self, preference: Mapping[str, float]) -> float:
        """Return the preferred mean of its scores at its own objectives, or at all if none is its own."""
        if not self.scores:
            return 0.0
        names = self.own or tuple(self.scores)
        weights = np.array([preference[name] for name in names])
        values = np.array([self.scores[name] for name in names])
        return float(weights @ values / weights.sum()) if weights.sum() > 0.0 else float(values.mean())


class PairFront:
    """Searches the front over the factors of two units, about the objectives that belong to the two, or all."""

    def __init__(
        self,
        one: Unit,
        other: Unit,
        *,
        bounds: tuple[Floats, Floats],
        objectives: tuple[str, ...],
        seed: int,
        search: FrontSearch | None,
    ) -> None:
        self._units = (one, other)
        self._own = tuple(name for name in objectives if name in one.own + other.own)
        self._names = self._own or objectives
        self._factors = np.array([_factors(unit.weights, bounds) for unit in self._units])
        sizes: Any = {"n_objectives": len(self._names), "initial": DESIGN, "overlap": False}
        self._map = AmortisedPareto(2, seed=seed, search=search, **sizes)
        self._asked: list[Floats] = []
        self._evaluations: list[Evaluation] = []
        self._all_scores: list[dict[str, float]] = []
        self.n_told = 0

    def ask(self, most: int | None) -> Floats:
        """Return (n, n_parents) weights; at most so many, None for a round of any size."""
        self._asked = self._map.ask(10**9 if most is None else most)
        return self._weights(np.array(self._asked).reshape(len(self._asked), 2))

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Learn from the outcomes of what was asked last, in order."""
        told: list[Outcome] = []
        for gene, outcome in zip(self._asked, outcomes, strict=True):
            candidate = replace(outcome.candidate, proposal=self.n_told + len(told), genome=gene)
            if not isinstance(outcome, Evaluation):
                told.append(replace(outcome, candidate=candidate))
                continue
            kept = tuple(o for o in outcome.estimate.objectives if o.name in self._names)
            estimate = replace(outcome.estimate, objectives=kept)
            evaluation = replace(outcome, candidate=candidate, estimate=estimate)
            if answered(evaluation):
                self._evaluations.append(evaluation)
                self._all_scores.append({o.name: o.value for o in outcome.estimate.objectives})
            told.append(evaluation)
        self._map.tell(told)
        self.n_told += len(told)

    def preferred(self, preference: Mapping[str, float]) -> Unit:
        """Return the merge of the two that the preference likes best, fit and measurement taken together."""
        own = self._own
        if not self._evaluations:
            return Unit(self._weights(np.full((1, 2), 0.5))[0], own, {})
        known = measured(self._evaluations)
        values = fit_objectives(known).smoothed(known) if len(self._evaluations) >= FEWEST else known.values
        weights = np.array([preference[o.name] for o in self._evaluations[0].estimate.objectives])
        order = np.lexsort((-(values @ weights), known.violations))
        best = int(order[0])
        return Unit(self._weights(known.genomes[best : best + 1])[0], own, self._all_scores[best])

    def _weights(self, genes: Floats) -> Floats:
        low, high = self._factors.T
        factors = low + genes * (high - low)
        return np.asarray(factors @ np.stack([unit.weights for unit in self._units]))


def _factors(weights: Floats, bounds: tuple[Floats, Floats]) -> tuple[float, float]:
    """Return the lowest and highest factor that keep every weight within its bounds."""
    used = weights != 0.0
    if not used.any():
        return 0.0, 1.0
    ends = np.stack([bounds[0][used] / weights[used], bounds[1][used] / weights[used]])
    return float(ends.min(axis=0).max()), float(ends.max(axis=0).min())


class NestedPareto:
    """Pair the parents, find each pair's front, freeze each pair's weights at its preferred point, and pair again.

    Every parent is scored alone first; an objective belongs to the parent that is best at it. Level by level, the two
    models whose preferred scores at their own objectives are closest are paired, then the next two; one may be left
    over. A pair's front (`AmortisedPareto` over the factors of the two models) is about the objectives that belong to
    the two. The last pair is searched on until the budget ends.

    Only for merges in which a pair of models with frozen weights is a model itself: linear and task_arithmetic.
    `bounds` are the (lowest, highest) weight of each parent, at gene 0 and 1, with 0 in reach; `preference` is what an
    objective weighs, in the campaign's order; a pair takes `per_pair` evaluations, at least 12.
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
        """Receive outcomes in any order; learn when a step is complete."""
        self._generation.receive(outcomes, lambda evaluation: mean_loss(evaluation, self._preference))

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
            if answered(outcome):
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
        rest = sorted(units, key=lambda unit: unit.level(self._preference))
        pairs: list[PairFront] = []
        while len(rest) > 1:
            levels = np.array([unit.level(self._preference) for unit in rest])
            first = int(np.argmin(np.diff(levels)))
            one, other = rest.pop(first), rest.pop(first)
            seed = stream_seed(self._seed, "nested_map", str(level), str(len(pairs)))
            bounds, objectives = (self._low, self._high), tuple(self._preference)
            pairs.append(PairFront(one, other, bounds=bounds, objectives=objectives, seed=seed, search=self._search))
        return pairs, rest
