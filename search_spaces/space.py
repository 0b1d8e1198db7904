"""The protocol of a search space: genome -> recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from search_spaces.genes import GeneInfo
from search_spaces.recipe import Recipe
from search_spaces.structure import Structure

G = TypeVar("G")


@dataclass(frozen=True)
class Landmark:
    """A recipe that every campaign evaluates first.

    Attributes:
        name: what tables call it: a parent's name, `uniform mean` or `default TIES`.
        recipe: the merge.
    """

    name: str
    recipe: Recipe


class SearchSpace(Protocol[G]):
    """A set of recipes that an optimiser can walk through.

    `G` is what the optimiser proposes: for weight spaces a float64 vector of shape (dim,) in [0, 1].
    """

    def decode(self, genome: G) -> Recipe:
        """Return the recipe of a genome; total, pure and deterministic: it never raises inside the cube."""
        ...

    def encode(self, recipe: Recipe) -> G:
        """Return a genome with decode(encode(r)) == r for every r that decode yields.

        Raises:
            SpaceError: the recipe is not of this space.
        """
        ...

    def landmarks(self) -> list[Landmark]:
        """Return each parent alone, then the uniform mean and default TIES where layers are merged, in this order."""
        ...

    def gene_names(self) -> list[GeneInfo]:
        """Return what each number of a cube vector means; nothing where genomes are no cube vectors."""
        ...


@runtime_checkable
class CubeSpace(Protocol):
    """What spaces of cube vectors tell an optimiser, besides being a `SearchSpace`."""

    @property
    def structure(self) -> Structure:
        """Return how many genes there are, which of them are choices, and what these govern."""
        ...

    def start(self) -> NDArray[np.float64]:
        """Return where a search begins; (dim,) in [0, 1]."""
        ...
