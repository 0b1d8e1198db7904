"""Structured search: choices by a genetic algorithm or (1+λ), and the numbers that count under them by CMA-ES.

For spaces of both, such as paths through layers, where a scale means something only in a layer that is run. A flat
CMA-ES samples all of them as numbers, and most of what it learns of scales comes from candidates without effect.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.cma.active_cma_es import ActiveCmaEs
from evomerge.optimisers.discrete_variation import DiscreteVariation
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import Generation
from evomerge.optimisers.losses import Losses, Penalised, check_weights, mean_loss, violation_of
from evomerge.seeds import stream
from evomerge.typing import Genome
from search_spaces.spaces.space import Structure

Discrete = Literal["ga", "one_plus_lambda"]

CROSSOVER = 0.8
# How often an offspring with choices that were proposed before is drawn again.
REDRAWS = 20


@dataclass(frozen=True, eq=False)
class Member:
    """One set of choices, with the best numbers known for it."""

    genome: Genome
    rank: tuple[float, float, int]  # lower is better: violation (failures last), loss, and of equals the newest


class StructuredSearch:
    """Maximise the weighted mean of the objectives over choices and numbers; generational.

    In every generation a share of the genomes are offspring with other choices, each choice's numbers inherited with
    it, and sampled around where they last were if they begin to count; the others have the choices of the best so far
    and new values of those numbers only that count under them. What was proposed before is avoided. Survivors are the
    best of parents and offspring, the newest of equals, and one for each set of choices. Completion order has no
    effect.

    The first genomes are the starts, (dim,) in [0, 1] each, up to their discrete genes' place within their values; as
    many as the first generation has room for beside the numbers' share. What is `known` of genomes that it did not
    propose makes its first members, of equals the first. The other arguments are those of
    `evomerge.optimisers.Structured`.
    """

    def __init__(  # noqa: PLR0913
        self,
        structure: Structure,
        starts: Sequence[Genome],
        *,
        weights: Mapping[str, float],
        seed: int,
        known: Sequence[tuple[Genome, Evaluation]] = (),
        population: int | None = None,
        discrete: Discrete = "one_plus_lambda",
        number_share: float = 0.5,
        sigma0: float = 1 / 6,
    ) -> None:
        population = int(4 + 3 * math.log(max(structure.dim, 1))) if population is None else population
        check_weights(weights)
        if not starts and not known:
            raise OptimiserError("starts: expected at least one genome, found none")
        if not structure.indicators and not structure.choices:
            raise OptimiserError(
                "structured: expected a space with discrete genes (layer_flow, joint, or several operators), found "
                "none; use cma_es"
            )
        self._structure, self._weights = structure, dict(weights)
        self._population, self._share = population, number_share
        self._survivors = max(2, population // 4) if discrete == "ga" else 1
        self._rng = stream(seed, "structured")
        self._variation = DiscreteVariation(structure, self._rng)
        self._numbers = ActiveCmaEs(structure.dim, sigma0=sigma0, seed=seed)
        self._penalised = Penalised(self._loss)
        self._starts = [self._variation.settled(_start_point(start, structure.dim)) for start in starts]
        self._to_score = list(self._starts)
        self._proposed: set[bytes] = set()
        settled = [self._variation.settled(_start_point(genome, structure.dim)) for genome, _ in known]
        ranks = [self._rank(told, -1 - i) for i, (_, told) in enumerate(known)]
        self._members = self._surviving(map(Member, settled, ranks))
        self._n_offspring = 0
        self._genomes: list[Genome] = []
        self._generation = Generation(np.empty((0, structure.dim)), first=0)

    def ask(self, n: int) -> list[Genome]:
        """Return up to n genomes of the current generation, each (dim,) in [0, 1]; none while outcomes are pending."""
        if n > 0 and self._generation.complete:
            self._genomes = self._next()
            self._generation = Generation(np.array(self._genomes), first=self._generation.end)
        return self._generation.hand_out(n)

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Receive outcomes in any order; learn when the generation is complete."""
        if self._generation.receive(outcomes, self._loss):
            self._learn(self._generation.in_order())

    def _next(self) -> list[Genome]:
        incumbent = self._members[0].genome if self._members else self._starts[0]
        active = self._active(incumbent)
        n_numbers = min(max(2, round(self._share * self._population)), self._population - 2) if active else 0
        offspring, self._to_score = self._to_score[: self._population - n_numbers], []
        self._proposed.update(map(self._effective, offspring))
        while len(offspring) < self._population - n_numbers:
            offspring.append(self._offspring())
        self._n_offspring = len(offspring)
        if not active:
            return offspring
        return offspring + self._numbers.ask(incumbent, active, n_numbers, choices=self._variation.key(incumbent))

    def _active(self, genome: Genome) -> list[int]:
        """Return the continuous genes that count under a genome's choices."""
        under = self._structure.under
        return [g for g in self._structure.continuous if g not in under or genome[under[g]] > 0.5]

    def _offspring(self) -> Genome:
        for _ in range(REDRAWS):
            parent, other = self._parents()
            child = self._variation.offspring(parent, other)
            was = set(self._active(parent))
            new = [gene for gene in self._active(child) if gene not in was]
            steps = self._rng.standard_normal(len(new)) * self._numbers.deviations[new]
            child[new] = np.clip(child[new] + steps, 0.0, 1.0)
            if self._effective(child) not in self._proposed:
                break
        self._proposed.add(self._effective(child))
        return child

    def _effective(self, genome: Genome) -> bytes:
        """Return what two genomes share exactly when all that counts in them is equal."""
        return self._variation.key(genome) + genome[self._active(genome)].tobytes()

    def _parents(self) -> tuple[Genome, Genome | None]:
        """Return one or two parents, each the better of two members drawn by chance (they stand in order of rank)."""
        if not self._members:
            return self._starts[0], None
        one, other = self._rng.integers(0, len(self._members), size=(2, 2)).min(axis=1).tolist()
        crossed = one != other and self._rng.random() < CROSSOVER
        return self._members[one].genome, self._members[other].genome if crossed else None

    def _learn(self, outcomes: Sequence[Outcome]) -> None:
        losses = self._penalised.of(outcomes)[:, 0].tolist()
        if len(outcomes) > self._n_offspring:
            self._numbers.tell(losses[self._n_offspring :])
        first = self._generation.end - len(outcomes)
        new = [
            Member(genome, self._rank(outcome, first + i))
            for i, (genome, outcome) in enumerate(zip(self._genomes, outcomes, strict=True))
        ]
        self._members = self._surviving([*self._members, *new])

    def _surviving(self, members: Iterable[Member]) -> list[Member]:
        best: dict[bytes, Member] = {}
        for member in sorted(members, key=lambda member: member.rank):
            best.setdefault(self._variation.key(member.genome), member)
        return list(best.values())[: self._survivors]

    def _rank(self, outcome: Outcome, proposal: int) -> tuple[float, float, int]:
        loss = float(self._loss(outcome)[0]) if isinstance(outcome, Evaluation) else 0.0
        return violation_of(outcome), loss, -proposal

    def _loss(self, evaluation: Evaluation) -> Losses:
        return mean_loss(evaluation, self._weights)


def _start_point(start: Genome, dim: int) -> Genome:
    point = np.array(start, dtype=np.float64)
    if point.shape != (dim,) or not ((point >= 0) & (point <= 1)).all():
        raise OptimiserError(f"starts: expected {dim} numbers in [0, 1] each, found {start!r}")
    return point
