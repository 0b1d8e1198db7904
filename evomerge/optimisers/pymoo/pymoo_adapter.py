"""pymoo's algorithms, NSGA-II first, behind ask and tell.

Blank and Deb, "pymoo: Multi-Objective Optimization in Python", IEEE Access 8 (2020); NSGA-II: Deb et al., "A Fast and
Elitist Multiobjective Genetic Algorithm", IEEE TEC 6 (2002). This file only translates proposals and outcomes; the
algorithms are in `pymoo_catalogue`, their options in `options` and `algorithm`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import Generation, checked_genomes
from evomerge.optimisers.losses import Losses, Penalised, check_weights, mean_loss, objective_losses, violation_of
from evomerge.optimisers.pymoo.algorithm import build_algorithm, refused
from evomerge.optimisers.pymoo.pymoo_catalogue import ALGORITHMS
from evomerge.optimisers.pymoo.pymoo_randomness import drawing_from
from evomerge.seeds import stream, stream_seed

if TYPE_CHECKING:
    from pymoo.core.population import Population

NO_OPTIONS: Mapping[str, Any] = {}
# How often an algorithm may propose nothing but genomes that are known before random ones take their place.
MAX_REPEATS = 20


class PymooOptimiser:
    """Search with one of pymoo's algorithms; generational, or one by one where the algorithm is.

    A generation is handed out in order and learnt from when its last outcome arrives, in the order of the proposals,
    so completion order has no effect. Infeasible evaluations break a constraint by their violation and failures by
    more than that, so selection ranks both below (Deb's feasibility rule), also where a whole generation failed;
    algorithms without constraints are told penalised losses (`losses.Penalised`). SRES and ISRES rank infeasible
    genomes by chance, and C-TAEA keeps some for their diversity, as they are meant to.

    A genome that was proposed before is not handed out again: the algorithm is told what is known of it. Where an
    algorithm finds no genome that is new, a generation of random genomes takes the place.

    Args:
        dim: number of genes, at least 1.
        n_objectives: how many objectives each evaluation carries, at least 1.
        seed: names the streams of random numbers, at least 0.
        algorithm: a name in `ALGORITHMS`.
        population: genomes per generation, at least 2; None for 24 or one per reference direction.
        options: by pymoo's own names; `crossover` has arguments of SBX, `mutation` of PM, `ref_points` are objectives.
        starts: genomes that the first generation begins with, e.g. the middle of the cube; the rest is as ever.
        scored: what the first of the starts reached; they are not proposed again.
        weights: objective name -> weight in the mean; None weighs all objectives the same.
    """

    def __init__(  # noqa: PLR0913
        self,
        dim: int,
        *,
        n_objectives: int,
        seed: int,
        algorithm: str = "nsga2",
        population: int | None = None,
        options: Mapping[str, Any] = NO_OPTIONS,
        starts: Sequence[ArrayLike] = (),
        scored: Sequence[Evaluation] = (),
        weights: Mapping[str, float] | None = None,
    ) -> None:
        sizes = {"dim": (dim, 1), "n_objectives": (n_objectives, 1), "population": (population or 2, 2)}
        for name, (value, least) in sizes.items():
            if value < least:
                raise OptimiserError(f"{name}: expected at least {least}, found {value}")
        if weights is not None:
            check_weights(weights)
        entry = ALGORITHMS[algorithm]
        self._dim, self._n_objectives, self._weights, self._options = dim, n_objectives, weights, options
        self._scalar, self._constrained = entry.of_mean, entry.constraints
        self._n_losses = 1 if self._scalar else n_objectives
        self._algorithm = build_algorithm(algorithm, options, population=population, n_objectives=self._n_losses)
        self._starts = checked_genomes(starts, dim, most=population)
        self._penalised = Penalised(self._losses, self._n_losses)
        self._immigration = stream(seed, algorithm, "immigrants")
        self._chance = stream(seed, algorithm, "unseeded")
        self._setup(stream_seed(seed, algorithm))
        self._proposed: Any = None  # what pymoo gave, which it wants back
        self._unscored: Population | None = None
        self._known: dict[bytes, tuple[Losses, float]] = {}
        self._generation = Generation(np.empty((0, dim)), first=0)
        self._remember(self._starts, scored)

    @property
    def between_generations(self) -> bool:
        """Whether it learnt from all that it proposed."""
        return self._generation.complete

    def ask(self, n: int) -> list[NDArray[np.float64]]:
        """Return up to n genomes of the current generation, each (dim,) in [0, 1]; none while outcomes are pending."""
        if n > 0 and self._generation.complete:
            self._generation = Generation(self._new_genomes(), first=self._generation.end)
        return self._generation.hand_out(n)

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Receive outcomes in any order; learn when the generation is complete."""
        if self._generation.receive(outcomes, self._losses):
            self._remember(self._generation.genomes, self._generation.in_order())
            self._learn()

    def _new_genomes(self) -> NDArray[np.float64]:
        """Return (n, dim) genomes that were never proposed before, n >= 1."""
        for _ in range(MAX_REPEATS):
            self._propose()
            if len(new := self._new()):
                return new
            self._learn()
        self._propose()
        assert self._unscored is not None
        self._unscored.set("X", self._immigration.random((len(self._unscored), self._dim)))
        return self._new()

    def _propose(self) -> None:
        """Let pymoo propose; keep what it did not score before."""
        from pymoo.core.population import Population

        with drawing_from(self._chance):
            try:
                self._proposed = self._algorithm.ask()
            except Exception as error:
                raise refused(self._options, error) from error
        if self._proposed is None or np.size(self._proposed) == 0:
            # pymoo would end the search here; a campaign ends by its budget.
            self._algorithm.termination.force_termination = False
            genomes = self._immigration.random((self._algorithm.n_offsprings, self._dim))
            self._proposed = Population.new(X=genomes)
        population = np.atleast_1d(np.asarray(self._proposed, dtype=object))
        self._unscored = Population.create(*[individual for individual in population if not individual.evaluated])
        if n := min(len(self._starts), len(self._unscored)):
            self._unscored[:n].set("X", self._starts[:n])
            self._starts = self._starts[:0]

    def _genomes(self) -> NDArray[np.float64]:
        """Return what pymoo did not score before, (n, dim) in the cube, which a mutation may leave by rounding."""
        assert self._unscored is not None
        genomes = np.array([individual.X for individual in self._unscored], dtype=np.float64)
        return np.clip(genomes, 0.0, 1.0).reshape(-1, self._dim)

    def _new(self) -> NDArray[np.float64]:
        new = {key: genome for genome in self._genomes() if (key := genome.tobytes()) not in self._known}
        return np.array([*new.values()]).reshape(-1, self._dim)

    def _remember(self, genomes: NDArray[np.float64], outcomes: Sequence[Outcome]) -> None:
        losses = self._penalised.of(outcomes) if outcomes else ()
        for genome, loss, outcome in zip(genomes, losses, outcomes, strict=False):
            violation = violation_of(outcome)
            own = self._constrained and violation > 0.0
            told = self._losses(outcome) if own and isinstance(outcome, Evaluation) else loss
            self._known[genome.tobytes()] = (told, violation)

    def _learn(self) -> None:
        from pymoo.core.evaluator import Evaluator
        from pymoo.problems.static import StaticProblem

        keys = [genome.tobytes() for genome in self._genomes()]
        if keys:
            Evaluator().eval(StaticProblem(self._algorithm.problem, **self._values(keys)), self._unscored)
        with drawing_from(self._chance):
            self._algorithm.tell(infills=self._proposed)

    def _values(self, keys: Sequence[bytes]) -> dict[str, NDArray[np.float64]]:
        values = {"F": np.array([self._known[genome][0] for genome in keys]).reshape(-1, self._n_losses)}
        if self._constrained:
            values["G"] = np.array([[self._known[genome][1]] for genome in keys]).reshape(-1, 1)
        return values

    def _losses(self, evaluation: Evaluation) -> Losses:
        """Return what pymoo minimises; (n_losses,)."""
        if not self._scalar:
            return objective_losses(evaluation, self._n_objectives)
        equal = dict.fromkeys((o.name for o in evaluation.estimate.objectives), 1.0)
        return mean_loss(evaluation, self._weights or equal)

    def _setup(self, seed: int) -> None:
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination
        from pymoo.termination.max_gen import MaximumGenerationTermination

        bounds = {"n_ieq_constr": int(self._constrained), "xl": 0.0, "xu": 1.0}
        problem = Problem(n_var=self._dim, n_obj=self._n_losses, **bounds)
        # RVEA's penalty grows over a number of generations, which it reads here.
        n_gen = self._options.get("n_gen")
        termination = NoTermination() if n_gen is None else MaximumGenerationTermination(n_gen)
        with drawing_from(self._chance):
            self._algorithm.setup(problem, seed=seed, termination=termination, verbose=False)
