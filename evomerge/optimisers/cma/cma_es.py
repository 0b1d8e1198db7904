"""CMA-ES on the weighted mean of the objectives; the search itself is pycma's.

Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772. This file only translates: proposals into pycma's
generations, outcomes into its losses, and its stop conditions into restarts (`cma_restarts`). The options are in
`cma_kind`, the surrogate of lq-CMA-ES in `cma_surrogate`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.cma.cma_restarts import Restarts, Run, Strategy
from evomerge.optimisers.cma.cma_surrogate import Surrogate
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import Generation
from evomerge.optimisers.losses import Losses, Penalised, check_weights, mean_loss
from evomerge.seeds import stream

if TYPE_CHECKING:
    import cma

logger = logging.getLogger(__name__)

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


class CmaEsSearch:
    """Maximise the weighted mean of the objectives with CMA-ES; generational.

    A generation is handed out in order and learnt from when its last outcome arrives, in the order of the proposals,
    so completion order has no effect. With `lq` a generation comes in batches, and what the surrogate is sure of is
    not scored at all.

    Infeasible evaluations rank behind every feasible one, by their violation, and failures behind those. A generation
    that failed as a whole is therefore flat to pycma: a step without direction, and after `tolflatfitness` (1) more of
    them a restart elsewhere.

    When one of pycma's stop conditions holds (converged, flat, stagnating, ...) the search starts again from a
    uniformly random point.

    Args:
        dim: number of genes, at least 1.
        weights: objective name -> weight, at least 0, one of them positive.
        seed: names the streams of random numbers, at least 0.
        population: genomes per generation, at least 2; None is pycma's 4 + 3 ln(dim).
        x0: where the first search starts: one gene value for all, or (dim,); in [0, 1].
        sigma0, restarts, incpopsize, sep, lq: see `evomerge.optimisers.CmaEs`, and `cma_restarts.Restarts`.
        options: further options by pycma's own names (`cma.CMAOptions`).

    Raises:
        OptimiserError: dim, weights or x0 make no search, or pycma refuses a value.
    """

    def __init__(  # noqa: PLR0913
        self,
        dim: int,
        *,
        weights: Mapping[str, float],
        seed: int,
        population: int | None = None,
        x0: ArrayLike = 0.5,
        sigma0: float = 1 / 6,
        restarts: Strategy = "same",
        incpopsize: int | None = None,
        sep: bool = False,
        lq: bool = False,
        options: Mapping[str, Any] = NO_OPTIONS,
    ) -> None:
        if dim < 1:
            raise OptimiserError(f"dim: expected at least 1 gene to search, found {dim}")
        population = int(4 + 3 * math.log(dim)) if population is None else population
        check_weights(weights)
        self._dim = dim
        self._weights = dict(weights)
        self._seed = seed
        self._options = {**options, **({"CMA_diagonal": True} if sep else {})}
        self._lq = lq
        self._n_runs = self._run_evaluations = 0
        self._restarts = Restarts(
            restarts, population=population, sigma0=sigma0, factor=incpopsize, rng=stream(seed, "cma_es", "restarts")
        )
        self._penalised = Penalised(self._loss)
        self._begin(_start_point(x0, dim))
        self._samples: list[NDArray[np.float64]] = []
        self._known: dict[int, float] = {}  # losses of this generation's samples
        self._waiting: list[int] = []  # samples that the batch in hand consists of
        self._generation = Generation(np.empty((0, dim)), first=0)

    def ask(self, n: int) -> list[NDArray[np.float64]]:
        """Return up to n genomes of the current generation, each (dim,) in [0, 1]; none while outcomes are pending."""
        if n > 0 and self._generation.complete:
            if not self._samples:
                self._samples = self._strategy.ask()
                self._waiting = self._wanted()
            genomes = np.array([self._samples[i] for i in self._waiting])[:, : self._dim]
            self._generation = Generation(genomes, first=self._generation.end)
        return self._generation.hand_out(n)

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Receive outcomes in any order; learn when the generation is complete.

        Raises:
            OptimiserError: an outcome is not of a pending proposal, or lacks an objective or holds one that is not
                finite.
        """
        for outcome in outcomes:
            if isinstance(outcome, Evaluation):
                self._loss(outcome)
        self._generation.receive(outcomes)
        if outcomes and self._generation.complete:
            losses = self._penalised.of(self._generation.in_order())[:, 0].tolist()
            self._known.update(zip(self._waiting, losses, strict=True))
            self._run_evaluations += len(losses)
            self._waiting = self._wanted()
            if not self._waiting:
                self._learn()

    def _wanted(self) -> list[int]:
        """Return the samples of this generation that have to be scored next."""
        if self._surrogate is not None:
            return self._surrogate.wanted(self._samples, self._known.get)
        return [i for i in range(len(self._samples)) if i not in self._known]

    def _learn(self) -> None:
        """Tell pycma a whole generation, and start again where it stops."""
        if self._surrogate is None:
            self._strategy.tell(self._samples, [self._known[i] for i in range(len(self._samples))])
        else:
            self._strategy.tell(self._samples, self._surrogate.losses())
            self._strategy.inject([self._surrogate.optimum()])
        self._samples, self._known = [], {}
        reasons = list(self._strategy.stop())
        if self._run.evaluations is not None and self._run_evaluations >= self._run.evaluations:
            reasons.append("short run")
        if reasons:
            logger.info("restart %d of CMA-ES (%s)", self._n_runs, ", ".join(reasons))
            self._begin(None)

    def _loss(self, evaluation: Evaluation) -> Losses:
        return mean_loss(evaluation, self._weights)

    def _begin(self, x0: NDArray[np.float64] | None) -> None:
        """Begin a run around x0, or around a random point; a stream of its own for each."""
        self._run = self._restarts.next_run(self._run_evaluations)
        rng = stream(self._seed, "cma_es", str(self._n_runs))
        # pycma needs two genes: a single one gets an idle companion, which ask drops.
        start = rng.random(max(self._dim, 2)) if x0 is None else x0
        self._strategy = self._strategy_at(start, self._run, rng)
        self._surrogate = Surrogate() if self._lq else None
        self._run_evaluations = 0
        self._n_runs += 1

    def _strategy_at(self, x0: NDArray[np.float64], run: Run, rng: np.random.Generator) -> cma.CMAEvolutionStrategy:
        import cma

        fixed = {
            "bounds": [0.0, 1.0],
            "popsize": run.population,
            "randn": lambda *shape: rng.standard_normal(shape),
            "seed": math.nan,  # "do nothing": any other value seeds numpy's global generator
            # From 300 genes on pycma would take TPA, which draws from numpy's global generator.
            "AdaptSigma": self._options.get("AdaptSigma", True) and cma.sigma_adaptation.CMAAdaptSigmaCSA,
            "verbose": -10,
            "verb_log": 0,
            "signals_filename": "",
        }
        try:
            return cma.CMAEvolutionStrategy(x0, run.sigma0, {**self._options, **fixed})
        except (ValueError, TypeError, AssertionError) as error:
            raise OptimiserError(
                f"options: expected values that pycma accepts, found {self._options}: {error}"
            ) from error


def _start_point(x0: ArrayLike, dim: int) -> NDArray[np.float64]:
    point = np.array(x0, dtype=np.float64)
    if point.shape not in ((), (dim,)) or not ((point >= 0) & (point <= 1)).all():
        raise OptimiserError(f"x0: expected one number or {dim} numbers in [0, 1], found {x0!r}")
    full = np.full(max(dim, 2), 0.5)
    full[:dim] = point
    return full
