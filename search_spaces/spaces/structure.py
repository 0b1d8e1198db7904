"""What an optimiser may know of a cube space beyond its dimension: which genes are choices, and what they govern."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    """

    dim: int
    indicators: tuple[int, ...]
    on: tuple[int, int]
    choices: Mapping[int, int] = field(default_factory=dict)
    under: Mapping[int, int] = field(default_factory=dict)

    @property
    def continuous(self) -> tuple[int, ...]:
        """Return the genes that are numbers, ascending."""
        discrete = {*self.indicators, *self.choices}
        return tuple(gene for gene in range(self.dim) if gene not in discrete)
