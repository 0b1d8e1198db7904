"""Whom the next candidates of a search race: the front, or the last one of a generation's better half.

Only evaluations that were scored whole and keep every constraint are rivals: behind one of them nobody can matter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Evaluation, Failure, Outcome
from evomerge.pareto import front
from fitness.scores import Estimate

MOST_RIVALS = 8
# Where an optimiser learns from fewer outcomes at once, several such generations count as one.
SMALLEST_GENERATION = 6


class Rivals:
    """What is known of possible rivals.

    For a search of one number: the last one of the better half of the last generation, which an optimiser selects;
    before there is one the best landmark. Where nobody of that half was scored whole there is no rival, so the next
    generation is. An optimiser without generations (random search) has the best so far for a rival. For a search of the
    front: its points, those with the largest crowding distance first.

    Args:
        weights: objective name -> weight, where their weighted mean is maximised; None: a search of the front.
    """

    def __init__(self, weights: Mapping[str, float] | None) -> None:
        self._weights = weights
        self._generation: int | None = None
        self._current: tuple[Evaluation, ...] = ()
        self._recent: list[Outcome] = []  # proposals since the last generation that chose a rival
        self._started = False
        self._renewed = False
        self._best: list[Evaluation] = []  # the front, or the best one

    def learn(self, outcomes: Sequence[Outcome]) -> None:
        """Take in what the campaign was told."""
        self._recent += [outcome for outcome in outcomes if outcome.candidate.proposal is not None]
        whole = [outcome for outcome in outcomes if isinstance(outcome, Evaluation) and outcome.violation == 0.0]
        if not whole:
            return
        # In the order of their numbers: who finished first must not matter.
        best = sorted([*self._best, *whole], key=lambda evaluation: evaluation.candidate.number)
        kept = front([self._values(evaluation) for evaluation in best])
        self._best = [best[i] for i in (kept[:1] if self._weights is not None else kept)]

    def now(self, generation: int | None) -> tuple[Evaluation, ...]:
        """Return the rivals of candidates that are asked now; the same for a whole generation.

        Args:
            generation: what tells it from others; None for an optimiser without generations.
        """
        if generation is None:
            self._current = self.next(by_generation=False)
        elif generation != self._generation:
            if not self._renewed:
                self._current = self.next()
                self._forget_recent()
            self._generation, self._renewed = generation, False
        return self._current

    def next(self, *, by_generation: bool = True) -> tuple[Evaluation, ...]:
        """Return the rivals of the generation that is asked next."""
        if self._weights is None:
            return tuple(self._best[i] for i in spread([self._values(e) for e in self._best])[:MOST_RIVALS])
        if not by_generation or (not self._started and not self._recent):
            return tuple(self._best)
        if len(self._recent) < SMALLEST_GENERATION:
            return self._current
        half = sorted(self._recent, key=self._rank)[: len(self._recent) // 2]
        return tuple(e for e in half if isinstance(e, Evaluation) and e.violation == 0.0)[-1:]

    def renew(self, evaluations: Sequence[Evaluation]) -> None:
        """Take the next generation's rivals from evaluations on other items, which hold alone from here on."""
        numbers = {rival.candidate.number for rival in self.next()}
        self._recent, self._best, self._started = [], [], True
        self.learn(evaluations)
        self._recent = []
        whole = [evaluation for evaluation in evaluations if evaluation.violation == 0.0]
        self._current = tuple(evaluation for evaluation in whole if evaluation.candidate.number in numbers)
        self._renewed = True

    def _forget_recent(self) -> None:
        if len(self._recent) >= SMALLEST_GENERATION:
            self._started, self._recent = True, []

    def _values(self, evaluation: Evaluation) -> list[float]:
        if self._weights is None:
            return [objective.value for objective in evaluation.estimate.objectives]
        return [weighted_mean(evaluation.estimate, self._weights)]

    def _rank(self, outcome: Outcome) -> tuple[float, float, int]:
        number = outcome.candidate.number
        if isinstance(outcome, Failure):
            return math.inf, 0.0, number
        return outcome.violation, -math.fsum(self._values(outcome)), number


def weighted_mean(estimate: Estimate, weights: Mapping[str, float]) -> float:
    """Return the mean of the objectives, weighted; an objective without a weight does not count."""
    each = {objective.name: weights.get(objective.name, 0.0) for objective in estimate.objectives}
    return math.fsum(each[o.name] * o.value for o in estimate.objectives) / math.fsum(each.values())


def spread(values: Sequence[Sequence[float]]) -> list[int]:
    """Return the order of a front's points by crowding distance, ends first (Deb et al., 2002, section III.B).

    Args:
        values: (n, m).
    """
    points = np.array(values, dtype=np.float64)
    distance = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        distance[order[[0, -1]]] = np.inf
        distance[order[1:-1]] += _gaps(column[order])
    return [int(i) for i in np.argsort(-distance, kind="stable")]


def _gaps(ascending: NDArray[np.float64]) -> NDArray[np.float64]:
    span = ascending[-1] - ascending[0]
    return (ascending[2:] - ascending[:-2]) / (span if span > 0 else 1.0)
