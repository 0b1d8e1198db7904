"""The options of M2N2: of its competition and of its crossover."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from evomerge.fields import Real, Whole
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.options import OptimiserOptions
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser

FromZero = Annotated[Real, Field(ge=0)]


class M2N2(OptimiserOptions):
    """Breeds parents that complement each other item by item, in a space of kind niches."""

    genomes: ClassVar[Literal["cube", "individuals", "any"]] = "individuals"
    begins_with_parents: ClassVar[bool] = True
    needs_every_answer: ClassVar[str] = "its competition compares candidates item by item"
    needs_same_items: ClassVar[str] = "its competition compares candidates item by item"

    kind: Literal["m2n2"] = "m2n2"
    population: Annotated[Whole, Field(ge=2, le=100_000)] = 20
    """Members at most."""
    alpha: FromZero = 1.0
    """Strength of the competition: 0 is a plain sum of scores, 1 shares all that an item gives."""
    capacity: Literal[1, "max"] = 1
    """What an item has to give: 1 (for scores that are 0 or 1), or max: the best score on it (for graded ones)."""
    eps: FromZero = 0.0
    """Added to what is shared."""
    attraction: Literal["with_alpha", "without_alpha", "none"] = "with_alpha"
    """How the second parent is drawn: by attraction, with the same alpha or with 1; none: both by fitness."""
    fallback: Literal["random", "fitness"] = "random"
    """The second parent where nobody attracts the first."""
    split: Literal["param", "tensor", "layer", "none"] = "param"
    """Where a child may pass from one parent to the other."""
    angle: Literal["global", "side", "tensor"] = "global"
    """What spherical interpolation measures its angle on: the whole, each side of the split, or each tensor."""

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh M2N2."""
        from evomerge.optimisers.niches.m2n2 import M2N2Search
        from evomerge.optimisers.niches.niches import Competition
        from search_spaces.spaces.niches.niche_space import NicheSpace

        if not isinstance(problem.space, NicheSpace):
            raise OptimiserError(f"optimiser: expected a space of kind niches with m2n2, found {problem.space!r}")
        competition = Competition(self.alpha, self.capacity, self.eps, self.attraction, self.fallback)
        crossing = problem.space.crossover(split=self.split, angle=self.angle)
        return M2N2Search(crossing, seed=problem.seed, population=self.population, competition=competition)
