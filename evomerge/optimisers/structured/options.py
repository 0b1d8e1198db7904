"""The options of structured search."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from evomerge.fields import Real, Whole
from evomerge.optimisers.options import OptimiserOptions
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser


class Structured(OptimiserOptions):
    """Maximises the mean over choices and numbers: for layer_flow, joint, and several operators."""

    maximises_mean: ClassVar[bool] = True
    takes_landmarks: ClassVar[bool] = True  # they are its first members
    landmarks_since: ClassVar[int] = 2

    kind: Literal["structured"] = "structured"
    population: Annotated[Whole, Field(ge=4, le=100_000)] | None = None
    """Candidates per generation; left out: 4 + 3 ln(genes)."""
    discrete: Literal["ga", "one_plus_lambda"] = "one_plus_lambda"
    """How choices are searched: mutants of the best, or a genetic algorithm on a quarter of the population."""
    number_share: Annotated[Real, Field(gt=0, lt=1)] = 0.5
    """What share of a generation varies numbers, and has the choices of the best so far."""
    sigma0: Annotated[Real, Field(gt=0, le=1)] = 1 / 6
    """Initial standard deviation of numbers; the cube's side is 1."""

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh structured search."""
        from evomerge.optimisers.structured.structured import StructuredSearch

        return StructuredSearch(
            problem.structure,
            problem.unscored_starts,
            known=list(zip(problem.given, problem.scored, strict=False)),
            weights=problem.weights,
            seed=problem.seed,
            **self.model_dump(include={"population", "discrete", "number_share", "sigma0"}),
        )
