"""The front of two models: what nested MAP searches at each level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.map.amortised_pareto import AmortisedPareto
from evomerge.optimisers.map.surrogates.front_search import FrontSearch
from evomerge.optimisers.map.surrogates.objectives import fit_objectives, measured
from evomerge.optimisers.map.surrogates.predicted_front import FEWEST
from evomerge.typing import Floats

DESIGN = 12  # (2 + 1)(2 + 2)


@dataclass(frozen=True, eq=False)
class Unit:
    """A model that is merged as a whole: a parent, or parents whose weights are frozen in proportion.

    Attributes:
        weights: (n_parents,).
        own: the objectives that belong to it; none for a parent that is best at none.
        scores: objective -> value; empty when it could not be scored.
    """

    weights: Floats
    own: tuple[str, ...]
    scores: Mapping[str, float]

    def level(self, preference: Mapping[str, float]) -> float:
        """Return the preferred mean of its scores at its own objectives, or at all if none is its own."""
        if not self.scores:
            return 0.0
        names = self.own or tuple(self.scores)
        weights = np.array([preference[name] for name in names])
        values = np.array([self.scores[name] for name in names])
        return float(weights @ values / weights.sum()) if weights.sum() > 0.0 else float(values.mean())


class PairFront:
    """Searches the front over the factors of two units.

    Args:
        one, other: what is merged.
        bounds: (n_parents,) lowest and highest weights.
        objectives: of the campaign, in its order; the front is about those that belong to the two, or all.
        seed: at least 0.
        search: of the surrogates' front.
    """

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
        shared = self._own or objectives
        self._names = shared
        self._factors = np.array([_factors(unit.weights, bounds) for unit in self._units])
        self._map = AmortisedPareto(
            2, n_objectives=len(shared), seed=seed, initial=DESIGN, overlap=False, search=search
        )
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
