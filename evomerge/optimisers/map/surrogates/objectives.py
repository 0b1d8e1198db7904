"""One surrogate per objective, and one of the violation where constraints are missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np
from scipy.special import ndtr

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.map.surrogates.links import Observations, natural
from evomerge.optimisers.map.surrogates.quadratic import QuadraticSurrogate, fit_quadratic
from evomerge.typing import Floats

_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Measured:
    """Everything evaluated so far, in the order of the proposals."""

    genomes: Floats  # (n, dim)
    objectives: tuple[Observations, ...]  # one per objective, in the campaign's order
    violations: Floats  # (n,), 0 where every constraint holds

    @property
    def values(self) -> Floats:
        """(n, m) measured values."""
        return np.stack([observed.values for observed in self.objectives], axis=1)


def measured(evaluations: Sequence[Evaluation]) -> Measured:
    """Return at least one evaluation of proposals as arrays."""
    genomes = np.array([evaluation.candidate.genome for evaluation in evaluations], dtype=np.float64)
    objectives = []
    for estimates in zip(*(evaluation.estimate.objectives for evaluation in evaluations), strict=True):
        values, stderrs, n_items = (
            np.array([getattr(estimate, field) for estimate in estimates], dtype=np.float64)
            for field in ("value", "stderr", "n_items")
        )
        objectives.append(Observations(genomes, values, stderrs, np.maximum(n_items, 1.0)))
    return Measured(genomes, tuple(objectives), np.array(list(map(_missed, evaluations))))


def answered(outcome: Outcome) -> TypeGuard[Evaluation]:
    """Return whether an outcome has values of its own: no failure, and not set aside before it answered anything."""
    return isinstance(outcome, Evaluation) and all(o.n_items > 0 for o in outcome.estimate.objectives)


def _missed(evaluation: Evaluation) -> float:
    """Return what constraints are missed by: who was stopped early ranks behind, but its values are as good as any."""
    stopped = evaluation.estimate.stopped
    if stopped is None:
        return evaluation.violation
    missed = evaluation.violation - stopped.shortfall
    return missed if missed > _ROUNDING else 0.0


@dataclass(frozen=True, eq=False)
class ObjectiveSurrogates:
    """What is believed of every objective, anywhere in the cube."""

    objectives: tuple[QuadraticSurrogate, ...]  # one surrogate each, in the campaign's order
    violation: QuadraticSurrogate | None  # of the violation; None while no constraint was missed
    tolerance: float  # a predicted violation below it counts as none

    def values(self, genomes: Floats, deviations: float = 0.0) -> Floats:
        """Return (n, m) predicted values, shifted by a number of standard deviations."""
        columns = []
        for surrogate in self.objectives:
            means, spreads = surrogate.latent(genomes)
            columns.append(natural(means + deviations * spreads, surrogate.link))
        return np.stack(columns, axis=1)

    def draws(self, genomes: Floats, normals: Floats) -> Floats:
        """Return (n_draws, n, m) values that may be the true ones, from (n_draws, m) standard normal numbers."""
        columns = []
        for surrogate, column in zip(self.objectives, normals.T, strict=True):
            means, spreads = surrogate.latent(genomes)
            columns.append(natural(means + column[:, None] * spreads, surrogate.link))
        return np.stack(columns, axis=2)

    def deviations(self, genomes: Floats) -> Floats:
        """Return (n,) standard deviations on the links' scales, summed over the objectives."""
        return np.asarray(np.sum([surrogate.latent(genomes)[1] for surrogate in self.objectives], axis=0))

    def smoothed(self, known: Measured) -> Floats:
        """Return (n, m) values of what was measured (`QuadraticSurrogate.smoothed`)."""
        pairs = zip(self.objectives, known.objectives, strict=True)
        return np.stack([surrogate.smoothed(observed) for surrogate, observed in pairs], axis=1)

    def excess(self, genomes: Floats) -> Floats:
        """Return (n,) predicted violations less the tolerance; at most 0 where constraints should hold."""
        if self.violation is None:
            return np.zeros(len(genomes))
        return self.violation.values(genomes) - self.tolerance

    def feasibility(self, genomes: Floats) -> Floats:
        """Return (n,) probabilities that every constraint holds."""
        if self.violation is None:
            return np.ones(len(genomes))
        means, spreads = self.violation.latent(genomes)
        return np.asarray(ndtr((self.tolerance - means) / np.maximum(spreads, 1e-12)))

    def expecting(self, genome: Floats) -> ObjectiveSurrogates:
        """Return the surrogates as sure as they will be once a genome (dim,) is measured."""
        return replace(self, objectives=tuple(surrogate.expecting(genome) for surrogate in self.objectives))


def fit_objectives(known: Measured) -> ObjectiveSurrogates:
    """Return the surrogates of what was measured."""
    missed = known.violations[known.violations > 0.0]
    violation, tolerance = None, 0.0
    if len(missed):
        n = len(known.violations)
        observed = Observations(known.genomes, known.violations, np.zeros(n), np.ones(n))
        violation, tolerance = fit_quadratic(observed, link="identity"), 0.5 * float(missed.min())
    return ObjectiveSurrogates(tuple(map(fit_quadratic, known.objectives)), violation, tolerance)
