"""M2N2's crossover for genomes in the unit cube: a split between groups of genes, and opposite shares on its sides.

Abrantes, Lange and Tang (arXiv:2508.16204) cross weight vectors: a child has a share w of one parent before a split
point and 1 - w behind it. Here genes take the place of weights, and the split falls between groups of genes that belong
together (`Structure.together`). Two things are added, as genes are few and a population of blends shrinks: shares may
lie outside [0, 1] (extended line recombination; Mühlenbein and Schlierkamp-Voosen 1993, "Predictive Models for the
Breeder Genetic Algorithm", section 4), and genes mutate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evomerge.optimisers.discrete_variation import DiscreteVariation
from evomerge.optimisers.generation import checked_genomes
from evomerge.seeds import stream
from evomerge.typing import Genome
from search_spaces.spaces.space import OFF, ON, Structure

# How far beyond its parents a child may lie, in shares of their distance: with 0.25 a population keeps its spread.
BEYOND = 0.25


@dataclass(frozen=True)
class GeneCrossing:
    """The genomes that a search begins with, and children of two genomes; implements `Crossing`.

    Where both parents have the same choices in a group, its numbers are shares of both; where they have not, the group
    is that of one parent. A child's choices are settled: in the middles of their values, as many on as are allowed.
    """

    structure: Structure
    seeds: tuple[Genome, ...]  # (dim,) each in [0, 1], read-only
    mutation: float  # standard deviation of the noise on each number, at least 0; the cube's side is 1
    flips: float  # how many discrete genes of a child mutate, on average

    def child(self, first: Genome, second: Genome, rng: np.random.Generator) -> Genome:
        """Return a child with a random split and ratio, mutated; read-only."""
        child = self._crossed(np.asarray(first), np.asarray(second), rng)
        numbers = list(self.structure.continuous)
        child[numbers] += self.mutation * rng.standard_normal(len(numbers))
        self._flip(child, rng)
        np.clip(child, 0.0, 1.0, out=child)
        return _settled(child, self.structure, rng)

    def _crossed(self, first: Genome, second: Genome, rng: np.random.Generator) -> Genome:
        child = first.copy()
        split, ratio = int(rng.integers(len(self._groups))), rng.random()
        for i, (genes, discrete) in enumerate(self._groups):
            share = ratio if i < split else 1.0 - ratio
            if self._choices_of(first, discrete) == self._choices_of(second, discrete):
                share = (1.0 + 2.0 * BEYOND) * share - BEYOND
                child[genes] += share * (second[genes] - first[genes])
            elif rng.random() < share:
                child[genes] = second[genes]
        return child

    def _flip(self, child: Genome, rng: np.random.Generator) -> None:
        discrete = [*self.structure.indicators, *self.structure.choices]
        if not discrete:
            return
        flipped = rng.random(len(discrete)) < self.flips / len(discrete)
        if not self.structure.continuous and not flipped.any():  # a child would be its parent
            flipped[rng.integers(len(discrete))] = True
        for gene in np.array(discrete)[flipped].tolist():
            n = self.structure.choices.get(gene)
            if n is None:
                child[gene] = OFF if child[gene] > 0.5 else ON
            elif n > 1:
                child[gene] = ((int(child[gene] * n) + int(rng.integers(1, n))) % n + 0.5) / n

    @cached_property
    def _groups(self) -> list[tuple[list[int], list[int]]]:
        """The genes that are inherited together, and the discrete ones among them."""
        discrete = {*self.structure.indicators, *self.structure.choices}
        return [(list(group), [gene for gene in group if gene in discrete]) for group in self.structure.together]

    def _choices_of(self, genome: Genome, discrete: Sequence[int]) -> list[int]:
        return [int(genome[gene] * self.structure.choices.get(gene, 2)) for gene in discrete]  # they are settled


def first_genomes(
    structure: Structure, starts: Sequence[Genome], *, around: Genome, designed: int, spread: float, seed: int
) -> tuple[Genome, ...]:
    """Return what a search begins with: the starts, then a Latin hypercube, drawn in towards one genome.

    Args:
        structure: of the space.
        starts: (dim,) in [0, 1] each.
        around: (dim,) in [0, 1].
        designed: number of further genomes.
        spread: side of the hypercube, in [0, 1]: 1 is the whole cube, 0 that genome.
        seed: at least 0.

    Raises:
        OptimiserError: a start is not of the cube.
    """
    rng = stream(seed, "niches", "first")
    strata = np.array([rng.permutation(designed) for _ in range(structure.dim)]).reshape(structure.dim, designed).T
    cube = (strata + rng.random((designed, structure.dim))) / max(designed, 1)
    hypercube = (1.0 - spread) * checked_genomes([around], structure.dim) + spread * cube
    return tuple(_settled(g, structure, rng) for g in (*checked_genomes(starts, structure.dim), *hypercube))


def _settled(genome: NDArray[np.float64], structure: Structure, rng: np.random.Generator) -> Genome:
    settled: Genome = DiscreteVariation(structure, rng).settled(genome)
    settled.flags.writeable = False
    return settled
