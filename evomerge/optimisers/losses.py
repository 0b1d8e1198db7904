"""What an optimiser that minimises is told: losses in which feasibility comes first and failures last."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError

Losses = NDArray[np.float64]
# What failures are told where a violation is asked for; `bounded_violation` stays below 1.
FAILURE = 2.0


def check_weights(weights: Mapping[str, float]) -> None:
    """Check the weights of a mean.

    Raises:
        OptimiserError: one is negative or not finite, or none is positive.
    """
    if not all(math.isfinite(w) and w >= 0 for w in weights.values()) or sum(weights.values()) <= 0:
        raise OptimiserError(f"weights: expected numbers of at least 0, one of them positive, found {dict(weights)}")


def mean_loss(evaluation: Evaluation, weights: Mapping[str, float]) -> Losses:
    """Return minus the weighted mean of the objectives; (1,).

    Raises:
        OptimiserError: an objective is missing or not finite.
    """
    values = {objective.name: objective.value for objective in evaluation.estimate.objectives}
    for name in weights:
        if not math.isfinite(values.get(name, math.nan)):
            raise OptimiserError(
                f"{name}: expected a finite value for candidate {evaluation.candidate.number}, "
                f"found {values.get(name, 'none')}; tell a Failure where there is no value"
            )
    total = math.fsum(weights.values())
    return np.array([-math.fsum(weight * values[name] for name, weight in weights.items()) / total])


def objective_losses(evaluation: Evaluation, n_objectives: int) -> Losses:
    """Return minus each objective; (n_objectives,).

    Raises:
        OptimiserError: there are more or fewer objectives, or one is not finite.
    """
    values = np.array([objective.value for objective in evaluation.estimate.objectives])
    if values.shape != (n_objectives,) or not np.isfinite(values).all():
        raise OptimiserError(
            f"objectives: expected {n_objectives} finite values for candidate "
            f"{evaluation.candidate.number}, found {values.tolist()}; tell a Failure where there is no value"
        )
    return -values


def bounded_violation(violation: float) -> float:
    """Return v / (1 + v): in the same order, below 1, and 0 exactly where nothing is violated."""
    return violation / (1.0 + violation)


class Penalised:
    """Losses that rank every feasible evaluation before every infeasible one, these by violation, and failures last.

    What is not feasible gets the worst loss of any evaluation so far and at least one unit more: pycma takes smaller
    differences for a flat fitness. Feasible evaluations keep their own losses.

    Args:
        loss: evaluation -> (n,) losses, lower is better.
        n: how many losses an evaluation has.
    """

    def __init__(self, loss: Callable[[Evaluation], Losses], n: int = 1) -> None:
        self._loss = loss
        self._worst = np.full(n, -np.inf)

    def of(self, outcomes: Sequence[Outcome]) -> Losses:
        """Return (n_outcomes, n) losses, all finite."""
        evaluated = {i: self._loss(outcome) for i, outcome in enumerate(outcomes) if isinstance(outcome, Evaluation)}
        if evaluated:
            self._worst = np.maximum(self._worst, np.max(list(evaluated.values()), axis=0))
        worst = np.where(np.isfinite(self._worst), self._worst, 0.0)
        unit = np.maximum(1.0, np.abs(worst))
        return np.array(
            [
                evaluated[i] if rank == 0.0 else worst + unit * (1.0 + rank)
                for i, rank in enumerate(map(violation_of, outcomes))
            ]
        )


def violation_of(outcome: Outcome) -> float:
    """Return 0 for a feasible evaluation, `bounded_violation` for an infeasible one, and `FAILURE`."""
    return bounded_violation(outcome.violation) if isinstance(outcome, Evaluation) else FAILURE
