"""CMA-ES on a changing subset of the genes: those that count under the choices of the moment. The search is pycma's."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evomerge.optimisers.cma.strategy import new_strategy
from evomerge.seeds import stream
from evomerge.typing import Genome

if TYPE_CHECKING:
    import cma

logger = logging.getLogger(__name__)

# A gene that counts again is varied by at least this share of the initial step, however far the others converged.
LEAST_SHARE = 0.1


class ActiveCmaEs:
    """Samples the active genes of an incumbent, and learns from the losses.

    It goes on as long as the incumbent's choices are the same. When they change, a new search starts around the new
    incumbent, each gene with the standard deviation that it had when it was last active. The same happens, with all
    standard deviations back at `sigma0`, when one of pycma's stop conditions holds.

    Attributes:
        deviations: (dim,) the standard deviation of every gene when it was last active; `sigma0` before.
    """

    def __init__(self, dim: int, *, sigma0: float, seed: int) -> None:
        self._sigma0, self._seed = sigma0, seed
        self.deviations = np.full(dim, sigma0)
        self._active: list[int] = []
        self._choices = b""
        self._searches = 0
        self._strategy: cma.CMAEvolutionStrategy | None = None
        self._samples: list[NDArray[np.float64]] = []

    def ask(self, incumbent: Genome, active: Sequence[int], n: int, *, choices: bytes) -> list[Genome]:
        """Return n >= 2 copies of the incumbent with other values of the active genes, of which there is one at least.

        `choices` is what tells the incumbent's choices from others.
        """
        if self._strategy is None or choices != self._choices or self._strategy.popsize != n:
            self._active, self._choices = list(active), choices
            self._strategy = self._start(incumbent, n)
        self._samples = self._strategy.ask()
        genomes = []
        for sample in self._samples:
            genome = incumbent.copy()
            genome[self._active] = sample[: len(active)]
            genomes.append(genome)
        return genomes

    def tell(self, losses: Sequence[float]) -> None:
        """Learn from one finite loss per genome of the last `ask`, lower is better."""
        assert self._strategy is not None
        self._strategy.tell(self._samples, list(losses))
        self.deviations[self._active] = self._strategy.stds[: len(self._active)]
        if reasons := self._strategy.stop():
            logger.info("CMA-ES on %d active genes starts again (%s)", len(self._active), ", ".join(reasons))
            self.deviations[:] = self._sigma0
            self._strategy = None

    def _start(self, incumbent: Genome, n: int) -> cma.CMAEvolutionStrategy:
        rng = stream(self._seed, "active_cma_es", str(self._searches))
        self._searches += 1
        # pycma needs two genes: a single one gets an idle companion, which ask drops.
        idle = [0.5] * (2 - len(self._active))
        deviations = np.clip(self.deviations[self._active], LEAST_SHARE * self._sigma0, None)
        options = {"CMA_stds": [*(deviations / self._sigma0), *[1.0] * len(idle)]}
        return new_strategy([*incumbent[self._active], *idle], self._sigma0, n, rng, options)
