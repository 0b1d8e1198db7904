"""pymoo's genetic algorithms, NSGA-II first, behind ask and tell.

Blank and Deb, "pymoo: Multi-Objective Optimization in Python", IEEE Access 8 (2020); NSGA-II: Deb et al., "A Fast and
Elitist Multiobjective Genetic Algorithm", IEEE TEC 6 (2002). This file only translates proposals, outcomes and options.
"""

from __future__ import annotations

import copy
import difflib
import importlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import Generation
from evomerge.seeds import stream, stream_seed

if TYPE_CHECKING:
    from pymoo.core.algorithm import Algorithm
    from pymoo.core.population import Population

ALGORITHMS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "nsga2": ("pymoo.algorithms.moo.nsga2", "NSGA2"),
        "spea2": ("pymoo.algorithms.moo.spea2", "SPEA2"),
        "sms_emoa": ("pymoo.algorithms.moo.sms", "SMSEMOA"),
    }
)
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})

# What a value may be: bool, int (at least 1), a range of numbers, or the arguments of an operator.
Expected = type | tuple[float, float] | Mapping[str, "Expected"]
PROBABILITY = (0.0, 1.0)
ETA = (1.0, 1000.0)  # distribution index: the higher, the closer children are to their parents
OPTIONS: Mapping[str, Expected] = MappingProxyType(
    {
        "n_offsprings": int,
        "eliminate_duplicates": bool,
        "crossover": {"eta": ETA, **dict.fromkeys(["prob", "prob_var", "prob_exch", "prob_bin"], PROBABILITY)},
        "mutation": {"eta": ETA, **dict.fromkeys(["prob", "prob_var"], PROBABILITY), "at_least_once": bool},
    }
)


def check_options(options: Mapping[str, Any], known: Mapping[str, Expected] = OPTIONS, prefix: str = "") -> None:
    """Check options meant for pymoo, without building anything.

    Raises:
        OptimiserError: an unknown option or a value of the wrong type; the message names the key.
    """
    for name, value in options.items():
        if name not in known:
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {prefix + nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
            raise OptimiserError(f"{prefix}{name}: expected an option of pymoo that evomerge passes on; {hint}")
        expected = known[name]
        if isinstance(expected, Mapping):
            if not isinstance(value, Mapping):
                raise OptimiserError(f"{prefix}{name}: expected keys and values such as {{eta: 15}}, found {value!r}")
            check_options(value, expected, f"{prefix}{name}.")
        else:
            _check_value(prefix + name, value, expected)


class PymooOptimiser:
    """Maximise every objective with one of pymoo's genetic algorithms; generational.

    A generation is handed out in order and learnt from when its last outcome arrives, in the order of the proposals,
    so completion order has no effect. Failures break a constraint that every evaluation keeps, so selection ranks
    them below all evaluations (Deb's feasibility rule), also where a whole generation failed. Where an algorithm
    finds no genome that is new (its operators only made duplicates), a generation of random genomes takes the place.

    Args:
        dim: number of genes, at least 1.
        n_objectives: how many objectives each evaluation carries, at least 1.
        seed: names the streams of random numbers, at least 0.
        algorithm: a name in `ALGORITHMS`.
        population: genomes per generation and survivors, at least 2.
        options: further options by pymoo's own names: `n_offsprings` (genomes per generation after the first),
            `eliminate_duplicates`, `crossover` (arguments of SBX, e.g. eta and prob), `mutation` (of PM).
        starts: genomes that the first generation begins with, e.g. the middle of the cube; the rest is random.

    Raises:
        OptimiserError: an argument is out of range, or see `check_options`.
    """

    def __init__(
        self,
        dim: int,
        *,
        n_objectives: int,
        seed: int,
        algorithm: str = "nsga2",
        population: int = 24,
        options: Mapping[str, Any] = NO_OPTIONS,
        starts: Sequence[ArrayLike] = (),
    ) -> None:
        for name, value, least in [("dim", dim, 1), ("n_objectives", n_objectives, 1), ("population", population, 2)]:
            if value < least:
                raise OptimiserError(f"{name}: expected at least {least}, found {value}")
        if algorithm not in ALGORITHMS:
            raise OptimiserError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, found {algorithm!r}")
        check_options(options)
        self._dim = dim
        self._n_objectives = n_objectives
        self._starts = _checked_starts(starts, dim, population)
        self._algorithm = _build(algorithm, population, options)
        self._immigration = stream(seed, algorithm, "immigrants")
        self._setup(stream_seed(seed, algorithm))
        self._worst = np.full(n_objectives, -np.inf)
        self._infills: Population | None = None
        self._generation = Generation(np.empty((0, dim)), first=0)

    def ask(self, n: int) -> list[NDArray[np.float64]]:
        """Return up to n genomes of the current generation, each (dim,) in [0, 1]; none while outcomes are pending."""
        if n > 0 and self._generation.complete:
            self._infills = self._next_generation()
            self._generation = Generation(self._infills.get("X"), first=self._generation.end)
        return self._generation.hand_out(n)

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Receive outcomes in any order; learn when the generation is complete.

        Raises:
            OptimiserError: an outcome is not of a pending proposal, or has another number of objectives or one that is
                not finite.
        """
        for outcome in outcomes:
            if isinstance(outcome, Evaluation):
                self._losses(outcome)
        self._generation.receive(outcomes)
        if outcomes and self._generation.complete:
            self._learn(self._generation.in_order())

    def _learn(self, outcomes: Sequence[Outcome]) -> None:
        from pymoo.core.evaluator import Evaluator
        from pymoo.problems.static import StaticProblem

        failed = np.array([not isinstance(outcome, Evaluation) for outcome in outcomes])
        losses = np.full((len(outcomes), self._n_objectives), -np.inf)
        for row, outcome in zip(losses, outcomes, strict=True):
            if isinstance(outcome, Evaluation):
                row[:] = self._losses(outcome)
        self._worst = np.maximum(self._worst, losses.max(axis=0))
        # The constraint alone ranks failures last; their losses only have to be finite for scaling and distances.
        losses[failed] = np.where(np.isfinite(self._worst), self._worst, 0.0)
        violations = failed[:, None].astype(np.float64)
        Evaluator().eval(StaticProblem(self._algorithm.problem, F=losses, G=violations), self._infills)
        self._algorithm.tell(infills=self._infills)

    def _losses(self, evaluation: Evaluation) -> NDArray[np.float64]:
        """Return minus the objectives, which pymoo minimises; (n_objectives,)."""
        values = np.array([objective.value for objective in evaluation.estimate.objectives])
        if values.shape != (self._n_objectives,) or not np.isfinite(values).all():
            raise OptimiserError(
                f"objectives: expected {self._n_objectives} finite values for candidate "
                f"{evaluation.candidate.number}, found {values.tolist()}; tell a Failure where there is no value"
            )
        return -values

    def _next_generation(self) -> Population:
        from pymoo.core.population import Population

        infills = self._algorithm.ask()
        if self._generation.end == 0 and len(self._starts):
            infills[: len(self._starts)].set("X", self._starts)
        if infills is None or len(infills) == 0:
            # pymoo would end the search here; a campaign ends by its budget.
            self._algorithm.termination.force_termination = False
            infills = Population.new(X=self._immigration.random((self._algorithm.n_offsprings, self._dim)))
        return infills

    def _setup(self, seed: int) -> None:
        from pymoo.core.problem import Problem
        from pymoo.core.termination import NoTermination

        problem = Problem(n_var=self._dim, n_obj=self._n_objectives, n_ieq_constr=1, xl=0.0, xu=1.0)
        self._algorithm.setup(problem, seed=seed, termination=NoTermination(), verbose=False)


def _build(name: str, population: int, options: Mapping[str, Any]) -> Algorithm:
    """Return pymoo's algorithm; operators that the options leave alone keep that algorithm's own defaults."""
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM

    operators = {"crossover": SBX, "mutation": PM}
    arguments = {key: operators[key](**value) if key in operators else value for key, value in options.items()}
    module, class_name = ALGORITHMS[name]
    # A copy: default operators are shared by all instances of a class, and some keep what they saw (SPEA2's survival).
    return copy.deepcopy(getattr(importlib.import_module(module), class_name)(pop_size=population, **arguments))


def _checked_starts(starts: Sequence[ArrayLike], dim: int, population: int) -> NDArray[np.float64]:
    genomes = np.array(starts, dtype=np.float64) if len(starts) else np.empty((0, dim))
    inside = genomes.shape == (len(starts), dim) and bool(((genomes >= 0.0) & (genomes <= 1.0)).all())
    if len(starts) > population or not inside:
        raise OptimiserError(
            f"starts: expected at most {population} genomes of {dim} numbers in [0, 1], found {starts}"
        )
    return genomes


def _check_value(key: str, value: object, expected: type | tuple[float, float]) -> None:
    if expected is bool:
        if not isinstance(value, bool):
            raise OptimiserError(f"{key}: expected true or false, found {value!r}")
    elif isinstance(expected, tuple):
        low, high = expected
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise OptimiserError(f"{key}: expected a number in [{low:g}, {high:g}], found {value!r}")
    elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptimiserError(f"{key}: expected a whole number of at least 1, found {value!r}")
