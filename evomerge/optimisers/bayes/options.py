"""The options of Bayesian optimisation."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from evomerge.fields import Whole
from evomerge.optimisers.options import OptimiserOptions
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser


def design_size(dim: int, evaluations: int) -> int:
    """Return how many points come before the first model: a few more with more genes, at most a fifth of all."""
    return max(4, min(6 + dim // 4, evaluations // 5))


class Bayes(OptimiserOptions):
    """Learns how genes and items make right answers, and proposes what gains most by it."""

    pools_items: ClassVar[bool] = True
    takes_landmarks: ClassVar[bool] = True
    tells_gain: ClassVar[bool] = True
    learns_from_stopped: ClassVar[bool] = True  # from their answers
    generation: ClassVar[int | None] = 8

    kind: Literal["bayes"] = "bayes"
    initial: Annotated[Whole, Field(ge=1)] | None = None
    """Points before the first model, start points and landmarks included; left out: 6 and one more for every four
    genes, at most a fifth of the evaluations."""

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh search."""
        from evomerge.optimisers.bayes.bayes_search import BayesSearch
        from evomerge.optimisers.bayes.knowledge import Questions

        return BayesSearch(
            problem.structure,
            Questions(problem.weights, problem.tasks, problem.task_of),
            seed=problem.seed,
            initial=self.initial or design_size(problem.dim, problem.evaluations),
            starts=problem.unscored_starts,
            known=list(zip(problem.given, problem.scored, strict=False)),
            notes=problem.notes,
        )
