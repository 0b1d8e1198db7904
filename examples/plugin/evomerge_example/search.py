"""An optimiser of one's own: a class with ask and tell. Nothing has to be inherited or registered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.generation import Generation
from evomerge.optimisers.losses import mean_loss
from evomerge.seeds import stream

Genome = NDArray[np.float64]


class HillClimb:
    """Take the best of some mutants, again and again.

    Args:
        dim: number of genes. This and the next three are filled in by evomerge (`evomerge.optimisers.Problem`).
        seed: names the stream of random numbers.
        weights: objective -> its weight in the mean.
        start: (dim,) where the search begins.
        children: mutants per generation; this and the next are options of the campaign file.
        step: standard deviation of a mutated gene.
    """

    maximises_mean = True

    def __init__(
        self,
        dim: int,
        seed: int,
        weights: Mapping[str, float],
        start: Genome | None = None,
        *,
        children: int = 6,
        step: float = 0.1,
    ) -> None:
        self._weights, self._children, self._step = dict(weights), children, step
        self._rng = stream(seed, "hill_climb")
        self._best = np.full(dim, 0.5) if start is None else start
        self._least = np.inf
        self._generation = Generation(np.empty((0, dim)), first=0)

    def ask(self, n: int) -> list[Genome]:
        """Return up to n genomes of the current generation, each (dim,) in [0, 1]; none while outcomes are pending."""
        if n > 0 and self._generation.complete:
            mutants = self._best + self._step * self._rng.standard_normal((self._children, len(self._best)))
            inside = 1.0 - np.abs(1.0 - np.abs(mutants))  # reflected at both ends
            self._generation = Generation(np.clip(inside, 0.0, 1.0), first=self._generation.end)
        return self._generation.hand_out(n)

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Receive outcomes in any order; move when the generation is complete."""
        self._generation.receive(outcomes)
        if outcomes and self._generation.complete:
            for genome, outcome in zip(self._generation.genomes, self._generation.in_order(), strict=True):
                if isinstance(outcome, Evaluation) and outcome.violation == 0.0:
                    loss = float(mean_loss(outcome, self._weights)[0])
                    if loss < self._least:
                        self._best, self._least = np.array(genome), loss
