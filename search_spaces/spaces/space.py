"""What a search space is: genome -> recipe; and what an optimiser may know of a cube of genes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar, runtime_checkable

from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Input, Rule
from search_spaces.spaces.genes import GeneInfo

if TYPE_CHECKING:  # a campaign file is read without numpy
    import numpy as np
    from numpy.typing import NDArray

G = TypeVar("G")
Genome: TypeAlias = "NDArray[np.float64]"  # (dim,), in [0, 1]

# Where a discrete gene stands: the middles of its two halves.
OFF, ON = 0.25, 0.75


@dataclass(frozen=True)
class Structure:
    """The discrete genes of a cube space, and which other genes count only where one of them is on.

    Genes that are neither indicators nor choices are continuous.

    Attributes:
        dim: number of genes.
        indicators: genes that are on above 0.5 and off up to 0.5, in an order in which neighbours have to do with one
            another.
        choices: other discrete genes -> how many values without an order they have, each with an equal share of the
            gene.
        under: continuous gene -> the indicator that must be on for it to have an effect; what is missing always has.
        on: how many indicators can be on, at least and at most; with more the space itself chooses.
        groups: genes that belong together (of a group of layers, of a place in a path), in an order in which
            neighbours have to do with one another; a gene is in one of them at most.
    """

    dim: int
    indicators: tuple[int, ...]
    on: tuple[int, int]
    choices: Mapping[int, int] = field(default_factory=dict)
    under: Mapping[int, int] = field(default_factory=dict)
    groups: tuple[tuple[int, ...], ...] = ()

    @property
    def together(self) -> tuple[tuple[int, ...], ...]:
        """Return every gene once, in what is inherited together: genes that are in no group alone, then the groups."""
        grouped = {gene for group in self.groups for gene in group}
        return (*((gene,) for gene in range(self.dim) if gene not in grouped), *self.groups)

    @property
    def continuous(self) -> tuple[int, ...]:
        """Return the genes that are numbers, ascending."""
        discrete = {*self.indicators, *self.choices}
        return tuple(gene for gene in range(self.dim) if gene not in discrete)


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


def weight_landmarks(
    parents: Iterable[str], merged: Sequence[str], recipe: Callable[[Sequence[Rule]], Recipe], *, has_base: bool
) -> list[Landmark]:
    """Return each parent alone, the uniform mean, and default TIES where there is a base to take task vectors from.

    Default TIES is the paper's setting when there is no validation data: density 0.2, weights and λ 1 (Yadav et al.
    2023, section 4).
    """
    alone = [Landmark(parent, recipe([Rule("passthrough", (Input(parent),))])) for parent in parents]
    mean = Rule("linear", tuple(Input(parent, {"weight": 1.0}) for parent in merged), {"normalize": True})
    landmarks = [*alone, Landmark("uniform mean", recipe([mean]))]
    if has_base:
        inputs = tuple(Input(parent, {"weight": 1.0, "density": 0.2}) for parent in merged)
        ties = Rule("ties", inputs, {"normalize": True, "lambda": 1.0})
        landmarks.append(Landmark("default TIES", recipe([ties])))
    return landmarks
