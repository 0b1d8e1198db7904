"""CMA-ES on the weighted mean of the objectives; the search itself is pycma's.

Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772. This file only translates: proposals into pycma's
generations, outcomes into its losses, and its stop conditions into restarts.
"""

from __future__ import annotations

import difflib
import logging
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import Generation
from evomerge.seeds import stream

if TYPE_CHECKING:
    import cma

logger = logging.getLogger(__name__)

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})

# pycma's options that would break a promise of ours, and what to use instead.
OWNED_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(["bounds", "BoundaryHandler"], "genomes live in the unit cube; set bounds under `space`"),
        **dict.fromkeys(["popsize", "popsize_factor"], "use `population`"),
        **dict.fromkeys(["seed", "randn"], "random numbers come from the campaign's seed"),
        **dict.fromkeys(["timeout", "signals_filename"], "it would make a resumed search differ; use `budget`"),
        **dict.fromkeys(["integer_variables", "fixed_variables"], "the search space freezes genes and decodes choices"),
        **dict.fromkeys(["scaling_of_variables", "transformation", "typical_x"], "the search space scales genes"),
        **dict.fromkeys(["termination_callback", "is_feasible", "CMA_sampler", "CMA_eigenmethod"], "it is code"),
        **dict.fromkeys(["noise_handling", "restarts"], "restarts are automatic; see `incpopsize`"),
    }
)


def check_options(options: Mapping[str, Any]) -> None:
    """Check options meant for pycma, without building anything.

    Raises:
        OptimiserError: an option that pycma does not know or that evomerge sets itself, or a value that is not a
            number, a boolean or a list of numbers (pycma would evaluate a string as code).
    """
    import cma

    known = set(cma.CMAOptions.defaults())
    for name, value in options.items():
        if name in OWNED_OPTIONS or name.startswith("verb"):
            reason = OWNED_OPTIONS.get(name, "evomerge logs by itself")
            raise OptimiserError(f"{name}: expected an option of pycma that evomerge passes on; {reason}")
        if name not in known:
            nearest = difflib.get_close_matches(name, known - set(OWNED_OPTIONS), n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else "; `cma.CMAOptions()` lists them"
            raise OptimiserError(f"{name}: expected an option of pycma{hint}")
        numbers = value if isinstance(value, (list, tuple)) else [value]
        if not all(isinstance(number, (bool, int, float)) for number in numbers):
            raise OptimiserError(f"{name}: expected a number, a boolean or a list of numbers, found {value!r}")


class CmaEs:
    """Maximise the weighted mean of the objectives with CMA-ES; generational.

    A generation is handed out in order and learnt from when its last outcome arrives, in the order of the proposals,
    so completion order has no effect. Failures tie at a loss worse than that of every evaluation so far. A generation
    that failed as a whole is therefore flat to pycma: a step without direction, and after `tolflatfitness` (1) more of
    them a restart elsewhere.

    When one of pycma's stop conditions holds (converged, flat, stagnating, ...) the search starts again from a
    uniformly random point (Auger and Hansen 2005, "A restart CMA evolution strategy with increasing population size").

    Args:
        dim: number of genes, at least 1.
        weights: objective name -> weight, at least 0, one of them positive.
        seed: names the streams of random numbers, at least 0.
        population: genomes per generation, at least 2; None is pycma's 4 + 3 ln(dim).
        x0: where the first search starts: one gene value for all, or (dim,); in [0, 1].
        sigma0: initial standard deviation of every gene, positive; the cube's side is 1.
        incpopsize: the population is multiplied by this at each restart, at least 1; 2 is IPOP-CMA-ES.
        options: further options by pycma's own names (`cma.CMAOptions`).

    Raises:
        OptimiserError: an argument is out of range, or see `check_options`.
    """

    def __init__(
        self,
        dim: int,
        *,
        weights: Mapping[str, float],
        seed: int,
        population: int | None = None,
        x0: ArrayLike = 0.5,
        sigma0: float = 1 / 6,
        incpopsize: int = 1,
        options: Mapping[str, Any] = NO_OPTIONS,
    ) -> None:
        if dim < 1:
            raise OptimiserError(f"dim: expected at least 1 gene to search, found {dim}")
        population = int(4 + 3 * math.log(dim)) if population is None else population
        _check_arguments(weights, population=population, sigma0=sigma0, incpopsize=incpopsize)
        check_options(options)
        self._dim = dim
        self._weights = dict(weights)
        self._seed = seed
        self._population = population
        self._sigma0 = sigma0
        self._incpopsize = incpopsize
        self._options = dict(options)
        self._restarts = 0
        self._worst = -math.inf  # the highest loss of an evaluation so far
        self._strategy = self._start(_start_point(x0, dim))
        self._samples: list[NDArray[np.float64]] = []
        self._generation = Generation(np.empty((0, dim)), first=0)

    def ask(self, n: int) -> list[NDArray[np.float64]]:
        """Return up to n genomes of the current generation, each (dim,) in [0, 1]; none while outcomes are pending."""
        if n > 0 and self._generation.complete:
            self._samples = self._strategy.ask()
            genomes = np.array(self._samples)[:, : self._dim]
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
            self._learn(self._generation.in_order())

    def _learn(self, outcomes: Sequence[Outcome]) -> None:
        losses = [self._loss(outcome) for outcome in outcomes if isinstance(outcome, Evaluation)]
        self._worst = max([self._worst, *losses])
        # A whole unit worse, not one ulp: pycma would take the latter for a flat fitness, and stop.
        failed = 0.0 if math.isinf(self._worst) else self._worst + max(1.0, abs(self._worst))
        told = [self._loss(outcome) if isinstance(outcome, Evaluation) else failed for outcome in outcomes]
        self._strategy.tell(self._samples, told)
        if reasons := self._strategy.stop():
            self._restarts += 1
            logger.info("restart %d of CMA-ES (%s)", self._restarts, ", ".join(reasons))
            self._strategy = self._start(None)

    def _loss(self, evaluation: Evaluation) -> float:
        """Return minus the weighted mean of the objectives, which pycma minimises."""
        values = {objective.name: objective.value for objective in evaluation.estimate.objectives}
        for name in self._weights:
            if not math.isfinite(values.get(name, math.nan)):
                raise OptimiserError(
                    f"{name}: expected a finite value for candidate {evaluation.candidate.number}, "
                    f"found {values.get(name, 'none')}; tell a Failure where there is no value"
                )
        total = math.fsum(self._weights.values())
        return -math.fsum(weight * values[name] for name, weight in self._weights.items()) / total

    def _start(self, x0: NDArray[np.float64] | None) -> cma.CMAEvolutionStrategy:
        """Return a fresh strategy around x0, or around a random point; a stream of its own for each restart."""
        import cma

        rng = stream(self._seed, "cma_es", str(self._restarts))
        # pycma needs two genes: a single one gets an idle companion, which ask drops.
        n_genes = max(self._dim, 2)
        x0 = rng.random(n_genes) if x0 is None else x0
        fixed = {
            "bounds": [0.0, 1.0],
            "popsize": self._population * self._incpopsize**self._restarts,
            "randn": lambda *shape: rng.standard_normal(shape),
            "seed": math.nan,  # "do nothing": any other value seeds numpy's global generator
            # From 300 genes on pycma would take TPA, which draws from numpy's global generator.
            "AdaptSigma": self._options.get("AdaptSigma", True) and cma.sigma_adaptation.CMAAdaptSigmaCSA,
            "verbose": -10,
            "verb_log": 0,
            "signals_filename": "",
        }
        try:
            return cma.CMAEvolutionStrategy(x0, self._sigma0, {**self._options, **fixed})
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


def _check_arguments(weights: Mapping[str, float], *, population: int, sigma0: float, incpopsize: int) -> None:
    if not all(math.isfinite(w) and w >= 0 for w in weights.values()) or sum(weights.values()) <= 0:
        raise OptimiserError(f"weights: expected numbers of at least 0, one of them positive, found {dict(weights)}")
    if population < 2:
        raise OptimiserError(f"population: expected at least 2, found {population}")
    if not 0 < sigma0 <= 1:
        raise OptimiserError(f"sigma0: expected a number in (0, 1], found {sigma0}")
    if incpopsize < 1:
        raise OptimiserError(f"incpopsize: expected at least 1, found {incpopsize}")
