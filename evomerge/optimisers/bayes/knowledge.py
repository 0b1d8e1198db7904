"""What was told, as the pooled response model takes it: genes, item scores, and whether a merge can be had at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.bayes.features import Features
from evomerge.optimisers.losses import objective_losses
from evomerge.typing import Floats
from fitness.estimation import Objective
from fitness.estimation.pooled import PooledResponses, Settings
from fitness.scores import ItemScores

KEPT, ALIVE = "constraints", "success"
_CERTAIN = 5  # a merge that failed once fails again: it counts as so many answers
Chosen = tuple[Settings, ...]


@dataclass(frozen=True)
class Questions:
    """What is asked of merges.

    Attributes:
        weights: objective -> weight in the mean.
        tasks: objective -> its tasks; empty where only the objectives' values are known.
        task_of: item -> task, of all items that an objective is the mean over.
    """

    weights: Mapping[str, float]
    tasks: Mapping[str, tuple[str, ...]]
    task_of: Mapping[str, str]

    @property
    def shares(self) -> Floats:
        """The weights, summing to 1; equal where all are 0."""
        weights = np.array([*self.weights.values()], dtype=np.float64)
        return weights / weights.sum() if weights.sum() > 0.0 else np.full(len(weights), 1.0 / len(weights))

    def fit(
        self, features: Features, known: Sequence[Known], settings: Chosen | None, rounds: int | None
    ) -> PooledResponses:
        """Fit the response model to what was evaluated."""
        told = [(genome, outcome) for genome, outcome in known if isinstance(outcome, Evaluation)]
        points = features.of(np.array([genome for genome, _ in told]))
        evaluations = [outcome for _, outcome in told]
        pooled = bool(self.tasks) and all(any(i in self.task_of for i in one.scores.item_ids) for one in evaluations)
        if pooled:
            objectives = [Objective(name, self.tasks[name]) for name in self.weights]
            items, task_of = tuple(self.task_of), self.task_of
            scores = [one.scores for one in evaluations]
        else:  # an objective's value is the score of its one item
            objectives = [Objective(name, (name,)) for name in self.weights]
            items, task_of = tuple(self.weights), {name: name for name in self.weights}
            scores = [ItemScores(items, -objective_losses(one, len(items))) for one in evaluations]
        return PooledResponses.fit(
            points, scores, objectives, items=items, task_of=task_of, settings=settings, rounds=rounds
        )


Known = tuple[Floats, Outcome]  # a genome, and what became of it


def missed(outcome: Outcome) -> float:
    """Return by how much an evaluation misses constraints, without what it falls short by where it was stopped."""
    if not isinstance(outcome, Evaluation):
        return 0.0
    stopped = outcome.estimate.stopped
    return max(0.0, outcome.violation - (0.0 if stopped is None else stopped.shortfall))


def fit_acceptance(
    features: Features, known: Sequence[Known], settings: Chosen | None, rounds: int | None
) -> PooledResponses | None:
    """Return a model of how well constraints are kept and whether merges fail; None where all is well everywhere.

    Kept constraints count 1, missed ones less than a half, the less the more they are missed.
    """
    violations = np.array([missed(outcome) for _, outcome in known])
    alive = np.array([isinstance(outcome, Evaluation) for _, outcome in known])
    if alive.all() and not violations.any():
        return None
    usual = float(np.median(violations[violations > 0.0])) if violations.any() else 1.0
    kept = np.where(violations > 0.0, 0.5 * np.exp(-violations / usual), 1.0)
    often = tuple(f"{ALIVE} {i}" for i in range(_CERTAIN))
    scores = [
        ItemScores((*often, KEPT), np.append(np.ones(_CERTAIN), kept[i]))
        if alive[i]
        else ItemScores(often, np.zeros(_CERTAIN))
        for i in range(len(known))
    ]
    points = features.of(np.array([genome for genome, _ in known]))
    objectives = [Objective(name, (name,)) for name in (ALIVE, KEPT)]
    task_of = {**dict.fromkeys(often, ALIVE), KEPT: KEPT}
    return PooledResponses.fit(
        points, scores, objectives, items=tuple(task_of), task_of=task_of, settings=settings, rounds=rounds
    )
