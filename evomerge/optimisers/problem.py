"""What an optimiser may know of the search that it is for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.terrain import Course, Notes, NotesInMemory, Terrain

if TYPE_CHECKING:  # a campaign file is read without numpy
    import numpy as np
    from numpy.typing import NDArray

    from evomerge.candidate import Evaluation
    from search_spaces.spaces.space import SearchSpace, Structure


@dataclass(frozen=True, eq=False)
class Spread:
    """Where a search samples.

    Attributes:
        mean: (dim,) in [0, 1].
        covariance: (dim, dim), positive semidefinite.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


# How optimisers propose, counted up where a change would make the same search propose otherwise. 2: CMA-ES goes on at
# its mean where scores tie; MAP and structured search know what landmarks reached.
RULES = 2


@dataclass(frozen=True, eq=False)
class Problem:
    """What an optimiser may know; an optimiser of another package asks for these by the names of its parameters.

    Attributes:
        space: what is searched.
        seed: of everything random, at least 0.
        weights: objective -> its weight in the mean, in the campaign's order; every objective is maximised.
        evaluations: candidates that the campaign scores.
        given: (dim,) genomes in [0, 1] to begin with, in place of the space's own start; none where it is as good.
        terrain: makes a live model and a loss for optimisers that descend, when they first need one; None where there
            are neither parents nor tasks.
        notes: what the search keeps for a resume.
        scored: what the given genomes reached, in their order, where landmarks gave them; else empty.
        tasks: objective -> its tasks; empty where items tell nothing but the objectives' values.
        task_of: item -> task, of all items that an objective is the mean over.
        rules: which rules of proposing hold (`RULES`): a search goes on by those that it began by.
        spread: where one that learns a distribution goes on; None: it begins as ever.
    """

    space: SearchSpace[Any]
    seed: int
    weights: Mapping[str, float]
    evaluations: int
    given: tuple[NDArray[np.float64], ...] = ()
    terrain: Callable[[Course], Terrain] | None = None
    notes: Notes = field(default_factory=NotesInMemory)
    scored: tuple[Evaluation, ...] = ()
    tasks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    task_of: Mapping[str, str] = field(default_factory=dict)
    rules: int = RULES
    spread: Spread | None = None

    @property
    def structure(self) -> Structure:
        """How many genes there are, which of them are choices, and what these govern; raises where there are none."""
        from search_spaces.spaces.space import CubeSpace

        if not isinstance(self.space, CubeSpace):
            found = type(self.space).__name__
            raise OptimiserError(f"optimiser: expected a space with genes in [0, 1], found {found}; take another kind")
        return self.space.structure

    @property
    def dim(self) -> int:
        """Number of genes."""
        return self.structure.dim

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives' names."""
        return tuple(self.weights)

    @property
    def n_objectives(self) -> int:
        """Number of objectives."""
        return len(self.weights)

    @property
    def starts(self) -> tuple[NDArray[np.float64], ...]:
        """(dim,) genomes where a search begins, at least one, the first one first."""
        from search_spaces.spaces.space import CubeSpace

        assert isinstance(self.space, CubeSpace)
        return self.given or (self.space.start(),)

    @property
    def unscored_starts(self) -> tuple[NDArray[np.float64], ...]:
        """The starts whose scores are not known; with scored ones, the space's own start where it is none of them."""
        if not self.scored:
            return self.starts
        own = replace(self, given=()).start
        return () if any((own == genome).all() for genome in self.given) else (own,)

    @property
    def start(self) -> NDArray[np.float64]:
        """Where a search begins that begins at one point; (dim,)."""
        return self.starts[0]


# Names of parameters that an optimiser of another package has filled in; all others are its options.
PROVIDED = frozenset(
    {"space", "seed", "weights", "evaluations", "structure", "dim", "objectives", "n_objectives", "starts", "start"}
)
