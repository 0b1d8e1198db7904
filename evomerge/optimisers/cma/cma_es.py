"""CMA-ES on the weighted mean of the objectives; the search itself is pycma's.

Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772. This file only translates: proposals into pycma's
generations, outcomes into its losses, and its stop conditions into restarts (`cma_restarts`).
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.cma.cma_restarts import Restarts, Run, Strategy
from evomerge.optimisers.cma.cma_surrogate import Surrogate
from evomerge.optimisers.cma.strategy import new_strategy
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import Generation
from evomerge.optimisers.losses import Losses, Penalised, check_weights, mean_loss, violation_of
from evomerge.optimisers.problem import Spread
from evomerge.seeds import stream

if TYPE_CHECKING:
    import cma

logger = logging.getLogger(__name__)

NO_OPTIONS: Mapping[str, Any] = {}


class CmaEsSearch:
    """Maximise the weighted mean of the objectives with CMA-ES; generational.

    A generation is handed out in order and learnt from when its last outcome arrives, in the order of the proposals,
    so completion order has no effect. With `lq` a generation comes in batches, and what the surrogate is sure of is
    not scored at all.

    Infeasible evaluations rank behind every feasible one, by their violation, and failures behind those. A generation
    that failed as a whole is therefore flat to pycma: a step without direction, and after `tolflatfitness` (1) more of
    them a restart elsewhere.

    When one of pycma's stop conditions holds (converged, flat, stagnating, ...) the search starts again from a
    uniformly random point. But where it stops because scores tie, as those of few items do near an optimum, and has
    found a better score than was known before, it goes on at its mean with twice the population and half the step
    (restarts `same`; ipop and bipop mean a random point).

    The arguments are those of `evomerge.optimisers.CmaEs`; `weights` are the objectives' in the mean, and `options`
    further ones by pycma's own names (`cma.CMAOptions`). `goes_on_at_ties` False starts elsewhere then, too, as
    searches did that began in an older evomerge. With `spread` the first run goes on from there, and not at x0.
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
        goes_on_at_ties: bool = True,
        spread: Spread | None = None,
    ) -> None:
        if dim < 1:
            raise OptimiserError(f"dim: expected at least 1 gene to search, found {dim}")
        population = int(4 + 3 * math.log(dim)) if population is None else population
        check_weights(weights)
        self._dim, self._weights, self._seed = dim, dict(weights), seed
        self._options = {**options, **({"CMA_diagonal": True} if sep else {})}
        self._lq, self._goes_on_at_ties = lq, goes_on_at_ties and restarts == "same" and not lq
        self._n_runs = self._run_evaluations = 0
        self._best = self._best_before = math.inf  # losses of what kept every constraint: of all, and before this run
        self._tied = False  # whether the last generation did
        self._restarts = Restarts(
            restarts, population=population, sigma0=sigma0, factor=incpopsize, rng=stream(seed, "cma_es", "restarts")
        )
        self._penalised = Penalised(self._loss)
        self._begin(_start_point(x0 if spread is None else spread.mean, dim))
        if spread is not None and dim > 1:
            self._strategy = self._going_on(spread)
        self._samples: list[NDArray[np.float64]] = []
        self._known: dict[int, float] = {}  # losses of this generation's samples
        self._waiting: list[int] = []  # samples that the batch in hand consists of
        self._generation = Generation(np.empty((0, dim)), first=0)

    @property
    def spread(self) -> Spread:
        """Where it samples, in the cube; (dim,) and (dim, dim)."""
        deviations = self._strategy.stds[: self._dim]
        correlations = self._strategy.sm.correlation_matrix
        among = np.eye(self._dim) if correlations is None else correlations[: self._dim, : self._dim]
        return Spread(self._mean()[: self._dim], np.asarray(deviations[:, None] * among * deviations))

    @property
    def between_generations(self) -> bool:
        """Whether it learnt from all that it proposed."""
        return self._generation.complete and not self._samples

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
        """Receive outcomes in any order; learn when the generation is complete."""
        if self._generation.receive(outcomes, self._loss):
            told = self._generation.in_order()
            losses = self._penalised.of(told)[:, 0].tolist()
            self._known.update(zip(self._waiting, losses, strict=True))
            self._note(losses, [violation_of(outcome) == 0.0 for outcome in told])
            self._run_evaluations += len(losses)
            self._waiting = self._wanted()
            if not self._waiting:
                self._learn()

    def _wanted(self) -> list[int]:
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
            better = self._best < self._best_before
            self._begin(self._mean() if self._goes_on_at_ties and self._tied and better else None)

    def _note(self, losses: Sequence[float], kept: Sequence[bool]) -> None:
        """Take in whether the best and most others of a generation tie: pycma calls it flat by these two quantiles."""
        best, ordered = min(itertools.compress(losses, kept), default=math.inf), sorted(losses)
        self._tied = best == ordered[0] == ordered[int(0.75 * len(ordered))]
        self._best = min(self._best, best)
        if self._n_runs == 1 and self._run_evaluations == 0:  # a score that all share is none that was found
            self._best_before = self._best

    def _mean(self) -> NDArray[np.float64]:
        return np.clip(np.asarray(self._strategy.result.xfavorite, dtype=np.float64), 0.0, 1.0)

    def _loss(self, evaluation: Evaluation) -> Losses:
        return mean_loss(evaluation, self._weights)

    def _begin(self, x0: NDArray[np.float64] | None) -> None:
        # Every run has a stream of its own; without x0 it begins at a random point.
        goes_on = self._n_runs > 0 and x0 is not None
        self._run = self._restarts.finer_run() if goes_on else self._restarts.next_run(self._run_evaluations)
        self._best_before = self._best
        rng = stream(self._seed, "cma_es", str(self._n_runs))
        # pycma needs two genes: a single one gets an idle companion, which ask drops.
        start = rng.random(max(self._dim, 2)) if x0 is None else x0
        self._strategy = self._strategy_at(start, self._run, rng)
        self._surrogate = Surrogate() if self._lq else None
        self._run_evaluations = 0
        self._n_runs += 1

    def _going_on(self, spread: Spread) -> cma.CMAEvolutionStrategy:
        """Return pycma's search with a distribution that another one learnt."""
        deviations = np.sqrt(np.maximum(np.diag(spread.covariance), 1e-12))
        step = float(np.sqrt(np.mean(deviations**2)))
        options = {**self._options, "CMA_stds": (deviations / step).tolist()}
        strategy = new_strategy(spread.mean, step, self._run.population, stream(self._seed, "cma_es", "0"), options)
        if np.ndim(strategy.sm.C) == 2:  # else it learns no correlations
            strategy.sm.C = spread.covariance / np.outer(deviations, deviations)
            strategy.sm.update_now(-1)
        return strategy

    def _strategy_at(self, x0: NDArray[np.float64], run: Run, rng: np.random.Generator) -> cma.CMAEvolutionStrategy:
        try:
            return new_strategy(x0, run.sigma0, run.population, rng, self._options)
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
