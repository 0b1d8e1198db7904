"""The options of M2N2, and of natural niches over any genome: of their competition and of their crossovers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import InitErrorDetails

from evomerge.fields import PositiveReal, Real, Share, Whole
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.options import OptimiserOptions
from evomerge.optimisers.problem import Problem
from evomerge.optimisers.protocol import Optimiser
from evomerge.wording import in_words, mismatch, refuse

if TYPE_CHECKING:
    from evomerge.optimisers.niches.m2n2 import Crossing
    from evomerge.optimisers.niches.niches import Competition
    from search_spaces.recipes.flat_layout import Split
    from search_spaces.spaces.niches.crossover import Angle
    from search_spaces.spaces.niches.niche_space import NicheSpace

FromZero = Annotated[Real, Field(ge=0)]


class Competing(OptimiserOptions):
    """Members of a population compete for items, and mate with who does what they lack."""

    landmarks_since: ClassVar[int] = 2
    needs_same_items: ClassVar[str] = "its competition compares candidates item by item"

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
    gain: tuple[PositiveReal, PositiveReal] | None = None
    """In a space of kind niches, [low, high]: how far individuals go along their task vectors, inherited with some
    noise; needs a base. Left out: 1, which is the paper."""

    @property
    def generation(self) -> int:
        """As many children as there are members: where some are stopped early, all are taken in together."""
        return self.population

    @property
    def competition(self) -> Competition:
        """How members compete."""
        from evomerge.optimisers.niches.niches import Competition

        return Competition(self.alpha, self.capacity, self.eps, self.attraction, self.fallback)

    @model_validator(mode="after")
    def _gains_ascend(self) -> Competing:
        if self.gain is not None and self.gain[0] > self.gain[1]:
            refuse([mismatch("[low, high]", in_words(self.gain), at=["gain"])])
        return self


class M2N2(Competing):
    """Breeds parents that complement each other item by item, in a space of kind niches."""

    genomes: ClassVar[Literal["cube", "individuals", "any"]] = "individuals"
    begins_with_parents: ClassVar[bool] = True

    kind: Literal["m2n2"] = "m2n2"
    split: Literal["param", "tensor", "layer", "none"] = "param"
    """Where a child may pass from one parent to the other."""
    angle: Literal["global", "side", "tensor"] = "global"
    """What spherical interpolation measures its angle on: the whole, each side of the split, or each tensor."""

    @property
    def takes_landmarks(self) -> bool:
        """Whether they are its first members: individuals with a gain can be."""
        return self.gain is not None

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh M2N2."""
        from search_spaces.spaces.niches.niche_space import NicheSpace

        if not isinstance(problem.space, NicheSpace):
            raise OptimiserError(f"optimiser: expected a space of kind niches with m2n2, found {problem.space!r}")
        return _breeding(self, problem, _of_individuals(self, problem, problem.space, self.split, self.angle))


class NaturalNiches(Competing):
    """Competition for items and attraction over any genome: weights, layer flow, both, choices, individuals."""

    genomes: ClassVar[Literal["cube", "individuals", "any"]] = "any"
    takes_landmarks: ClassVar[bool] = True

    kind: Literal["niches"] = "niches"
    population: Annotated[Whole, Field(ge=2, le=100_000)] = 10
    """Members at most."""
    gain: tuple[PositiveReal, PositiveReal] | None = (0.5, 3.0)
    """In a space of kind niches, [low, high]: how far individuals go along their task vectors, inherited with some
    noise; needs a base. null: 1, as in the paper."""
    mutation: FromZero = 0.05
    """Of genes: standard deviation of the noise on every number of a child; the cube's side is 1."""
    flips: FromZero = 1.0
    """Of genes: how many choices of a child change, on average."""
    designed: Annotated[Whole, Field(ge=0, le=100_000)] | None = None
    """Of genes: first members besides starts and landmarks, spread around the start; left out: as many as a population
    still needs, and at most a quarter of the evaluations."""
    spread: Share = 0.5
    """Of genes: how far these lie apart; 1 is the whole cube."""

    def space_problems(self, space: Any) -> list[InitErrorDetails]:
        """Return which options have no meaning in a space."""
        of_genes = {"mutation", "flips", "designed", "spread", "warm_start"}
        without = of_genes if space.genomes == "individuals" else {"gain"}
        set_ = [key for key in sorted(without) if getattr(self, key) != type(self).model_fields[key].default]
        return [
            mismatch(f"no such key in a space of kind {space.kind}", in_words(getattr(self, key)), at=[key])
            for key in set_
        ]

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh search."""
        from search_spaces.spaces.niches.niche_space import NicheSpace

        if isinstance(problem.space, NicheSpace):
            return _breeding(self, problem, _of_individuals(self, problem, problem.space, "param", "global"))
        from evomerge.optimisers.niches.gene_crossing import GeneCrossing, first_genomes

        n_known = max(len(problem.scored), len(problem.starts))
        wanted = max(2, min(self.population - n_known, problem.evaluations // 4))
        seeds = first_genomes(
            problem.structure,
            problem.unscored_starts,
            around=problem.start,
            designed=wanted if self.designed is None else self.designed,
            spread=self.spread,
            seed=problem.seed,
        )
        return _breeding(self, problem, GeneCrossing(problem.structure, seeds, self.mutation, self.flips))


class CycleQd(OptimiserOptions):
    """Archives of quality and diversity, one for each objective, in a space of kind niches with a base (CycleQD)."""

    genomes: ClassVar[Literal["cube", "individuals", "any"]] = "individuals"
    begins_with_parents: ClassVar[bool] = True
    needs_every_answer: ClassVar[str] = "its archives compare scores that are equally exact"

    kind: Literal["cycle_qd"] = "cycle_qd"
    children: Annotated[Whole, Field(ge=1, le=100_000)] = 8
    """How many are made at once; the objective that is the quality changes from one generation to the next."""
    cells: Annotated[Whole, Field(ge=1, le=1000)] = 10
    """Of an archive's grid, for each of the other objectives."""
    mutation: FromZero = 0.1
    """What a singular component of an expert's task vector changes by at most, as a share of itself."""
    mixing: FromZero = 0.01
    """Standard deviation of the shares, around 1, with which a child is the mean of two."""

    def build(self, problem: Problem) -> Optimiser[Any]:
        """Return a fresh CycleQD."""
        from evomerge.optimisers.niches.cycle_qd import CycleQD
        from search_spaces.spaces.niches.niche_space import NicheSpace

        if not isinstance(problem.space, NicheSpace):
            raise OptimiserError(f"optimiser: expected a space of kind niches with cycle_qd, found {problem.space!r}")
        if problem.space.base is None:
            raise OptimiserError("optimiser: expected a base, which cycle_qd's task vectors begin at, found none")
        return CycleQD(
            len(problem.space.merged),
            n_objectives=problem.n_objectives,
            seed=problem.seed,
            **self.model_dump(include={"children", "cells", "mutation", "mixing"}),
        )


def _of_individuals(
    options: Competing, problem: Problem, space: NicheSpace, split: Split, angle: Angle
) -> Crossing[Any]:
    if options.gain is None:
        return space.crossover(split, angle)
    individuals: Sequence[Any] = problem.given
    return space.gained_crossover(split, angle, options.gain, known=individuals)


def _breeding(options: Competing, problem: Problem, crossing: Crossing[Any]) -> Optimiser[Any]:
    from evomerge.optimisers.niches.m2n2 import M2N2Search

    return M2N2Search(
        crossing,
        seed=problem.seed,
        population=options.population,
        competition=options.competition,
        known=list(zip(problem.given, problem.scored, strict=False)),
    )
