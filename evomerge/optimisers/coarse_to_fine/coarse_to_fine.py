"""Coarse to fine: an optimiser searches with genes of neighbouring groups tied, then with ever fewer of them tied.

A search of few candidates learns 3 numbers better than 18, and the best merge of 3 is a good start for 9. Which genes
are tied at each level is `search_spaces.spaces.ties`; this file says when a level was searched enough, and what the
next one is given.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.losses import mean_loss
from evomerge.optimisers.problem import Problem, Spread
from evomerge.optimisers.protocol import Optimiser, gain_left
from evomerge.optimisers.terrain import NotesApart
from evomerge.seeds import stream, stream_seed
from evomerge.typing import Genome
from search_spaces.spaces.ties import CubeVectors, Owner, TiedSpace

_LOG = logging.getLogger(__name__)
SIBLINGS = 0.5  # correlation with which genes begin that were one gene before


class CoarseToFine:
    """Lets an optimiser search one level after the other.

    A level is left once it has `per_gene` evaluations for each of its genes and what is left of the budget is as much
    for each gene of the next one: what cannot be learnt any more is not split. The next level is given everything that
    was told so far: a distribution (CMA-ES), the best as its first population (pymoo), or all (bayes, map). The first
    level is the coarsest that can express the best point to begin with.

    A level that learns from generations is left between two of them; none is left while outcomes are pending.

    Args:
        problem: of the whole space.
        build: makes the optimiser of a level.
        owners: ties of the levels (`ties.levels`).
        per_gene: evaluations for each gene.
    """

    def __init__(
        self, problem: Problem, build: Callable[[Problem], Optimiser[Any]], owners: Sequence[Owner], *, per_gene: float
    ) -> None:
        self._problem, self._build, self._per_gene = problem, build, per_gene
        self._spaces = [TiedSpace(cast(CubeVectors, problem.space), owner) for owner in owners]
        self._known = list(zip(problem.given, problem.scored, strict=False))
        self._asked = self._first = 0  # proposals so far, and the first of this level
        self._pending: dict[int, Genome] = {}
        self._level = next((i for i, space in enumerate(self._spaces) if all(map(space.holds, problem.given[:1]))), 0)
        self._own = self._begin(problem.given, problem.scored, None)

    @property
    def own(self) -> Optimiser[Any]:
        """The optimiser of this level."""
        return self._own

    @property
    def n_genes(self) -> int:
        """How many genes this level has."""
        return self._space.structure.dim

    def ask(self, n: int) -> list[Genome]:
        """Return genomes of the whole space; none where the optimiser waits, or a level ends."""
        if self._is_enough and getattr(self._own, "between_generations", True):
            if self._pending:
                return []
            self._refine()
        genomes = list(self._own.ask(n))
        self._pending.update(enumerate(genomes, start=self._asked))
        self._asked += len(genomes)
        return [self._space.expanded(genome) for genome in genomes]

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Let the optimiser of this level learn."""
        own = []
        for outcome in outcomes:
            candidate, number = outcome.candidate, outcome.candidate.proposal
            if number is not None:  # what was never asked, or told already, is the optimiser's to refuse
                tied = self._pending.get(number)
                candidate = replace(candidate, proposal=number - self._first, genome=tied)
            own.append(replace(outcome, candidate=candidate))
        self._own.tell(own)
        for outcome in outcomes:
            genome = self._pending.pop(outcome.candidate.proposal or 0)
            if isinstance(outcome, Evaluation):
                self._known.append((self._space.expanded(genome), outcome))

    def gain_left(self) -> float | None:
        """Return what the optimiser of the last level expects to gain; None before, where finer genes may gain more."""
        return gain_left(self._own) if self._level + 1 == len(self._spaces) else None

    @property
    def _space(self) -> TiedSpace:
        return self._spaces[self._level]

    @property
    def _is_enough(self) -> bool:
        if self._level + 1 == len(self._spaces):
            return False
        finer = self._spaces[self._level + 1].structure.dim
        left = self._problem.evaluations - len(self._problem.scored) - self._asked
        return self._asked - self._first >= self._per_gene * self.n_genes and left >= self._per_gene * finer

    def _refine(self) -> None:
        """Go on at the next level, with all that is known."""
        spread, coarse = getattr(self._own, "spread", None), self._space
        ranked = sorted(self._known, key=lambda known: (known[1].violation, self._loss(known[1])))
        self._level += 1
        self._first = self._asked
        elsewhere = stream(self._problem.seed, "coarse_to_fine", "start", str(self._level)).random(self.n_genes)
        self._own = self._begin(
            [genome for genome, _ in ranked] or [self._space.expanded(elsewhere)],  # where all failed
            [evaluation for _, evaluation in ranked],
            None if spread is None else _refined(spread, coarse, self._space),
        )
        _LOG.info("coarse to fine: %d genes after %d candidates", self.n_genes, self._asked)

    def _begin(self, given: Sequence[Genome], scored: Sequence[Evaluation], spread: Spread | None) -> Optimiser[Any]:
        space = self._space
        held = [i for i, genome in enumerate(given) if space.holds(genome)]
        return self._build(
            replace(
                self._problem,
                space=space,
                seed=stream_seed(self._problem.seed, "coarse_to_fine", str(self._level)),
                given=tuple(space.tied(given[i]) for i in held),
                scored=tuple(scored[i] for i in held if i < len(scored)),
                notes=NotesApart(self._problem.notes, f"level {self._level}"),
                spread=spread,
            )
        )

    def _loss(self, evaluation: Evaluation) -> float:
        weights = self._problem.weights
        return float(mean_loss(evaluation, weights if any(weights.values()) else dict.fromkeys(weights, 1.0))[0])


def _refined(spread: Spread, coarse: TiedSpace, fine: TiedSpace) -> Spread:
    """Return a distribution with more genes: those that were one vary as much as it did, and half as much together."""
    of_one = np.rint(fine.tied(coarse.expanded(np.arange(len(spread.mean), dtype=np.float64)))).astype(np.intp)
    covariance = spread.covariance[np.ix_(of_one, of_one)]
    independent = np.diag(np.diag(covariance))
    return Spread(spread.mean[of_one], SIBLINGS * covariance + (1.0 - SIBLINGS) * independent)
