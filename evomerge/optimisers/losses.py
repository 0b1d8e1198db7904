"""What an optimiser that minimises is told: losses in which feasibility comes first and failures last."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError

Losses = NDArray[np.float64]
FAILURE = 2.0  # the violation of what failed; that of evaluations stays below 1


def check_weights(weights: Mapping[str, float]) -> None:
    """Check that the weights of a mean are at least 0, finite, and one of them positive."""
    if not all(math.isfinite(w) and w >= 0 for w in weights.values()) or sum(weights.values()) <= 0:
        raise OptimiserError(f"weights: expected numbers of at least 0, one of them positive, found {dict(weights)}")


def mean_loss(evaluation: Evaluation, weights: Mapping[str, float]) -> Losses:
    """Return minus the weighted mean of the objectives; (1,), finite."""
    values = {objective.name: objective.value for objective in evaluation.estimate.objectives}
    for name in weights:
        if not math.isfinite(values.get(name, math.nan)):
            expected = f"a finite value for candidate {evaluation.candidate.number}"
            found = f"{values.get(name, 'none')}; tell a Failure where there is no value"
            raise OptimiserError(f"{name}: expected {expected}, found {found}")
    total = math.fsum(weights.values())
    return np.array([-math.fsum(weight * values[name] for name, weight in weights.items()) / total])


def objective_losses(evaluation: Evaluation, n_objectives: int) -> Losses:
    """Return minus each objective; (n_objectives,), finite."""
    values = [objective.value for objective in evaluation.estimate.objectives]
    if len(values) != n_objectives or not all(map(math.isfinite, values)):
        expected = f"{n_objectives} finite values for candidate {evaluation.candidate.number}"
        raise OptimiserError(f"objectives: expected {expected}, found {values}; tell a Failure where there is no value")
    return -np.array(values, dtype=np.float64)


class Penalised:
    """Losses that rank every feasible evaluation before every infeasible one, these by violation, and failures last.

    What is not feasible gets the worst loss of any evaluation so far and at least one unit more: pycma takes smaller
    differences for a flat fitness. Feasible evaluations keep their own losses, of which each has n; lower is better.
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
        ranks = enumerate(map(violation_of, outcomes))
        return np.array([evaluated[i] if rank == 0.0 else worst + unit * (1.0 + rank) for i, rank in ranks])


def violation_of(outcome: Outcome) -> float:
    """Return v / (1 + v) of an evaluation that violates by v: 0 where it is feasible, else below 1; or `FAILURE`."""
    return outcome.violation / (1.0 + outcome.violation) if isinstance(outcome, Evaluation) else FAILURE
