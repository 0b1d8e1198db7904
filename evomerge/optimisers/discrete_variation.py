"""How discrete genes vary: settled, crossed, mutated, and as many of them on as a space allows."""

from __future__ import annotations

import numpy as np

from evomerge.typing import Genome
from search_spaces.spaces.space import OFF, ON, Structure

# Exponent of the power law of mutation sizes (Doerr et al. 2017, "Fast Genetic Algorithms", section 4).
BETA = 1.5


class DiscreteVariation:
    """Draws offspring that differ from their parent in discrete genes.

    Continuous genes that count under an indicator are inherited together with it; other continuous genes are those of
    the first parent.
    """

    def __init__(self, structure: Structure, rng: np.random.Generator) -> None:
        self._structure, self._rng = structure, rng
        self._indicators = np.array(structure.indicators, dtype=np.intp)
        self._discrete = np.array([*structure.indicators, *structure.choices], dtype=np.intp)
        sizes = np.arange(1, max(2, len(self._discrete) // 2 + 1))
        self._sizes, self._shares = sizes, sizes**-BETA / np.sum(sizes**-BETA)

    def settled(self, genome: Genome) -> Genome:
        """Return a genome whose discrete genes are the middles of their values, as many on as the space allows."""
        found = np.array(genome, dtype=np.float64)
        found[self._indicators] = np.where(found[self._indicators] > 0.5, ON, OFF)
        for gene, n in self._structure.choices.items():
            found[gene] = (min(int(found[gene] * n), n - 1) + 0.5) / n
        self._repair(found)
        return found

    def key(self, genome: Genome) -> bytes:
        """Return what two settled genomes share exactly when all their discrete genes are equal."""
        return genome[self._discrete].tobytes()

    def offspring(self, parent: Genome, other: Genome | None = None) -> Genome:
        """Return a mutant of a parent, or of its crossover with another."""
        child = parent.copy() if other is None else self._crossed(parent, other)
        self._mutate(child)
        self._repair(child)
        return child

    def _crossed(self, parent: Genome, other: Genome) -> Genome:
        """Return the parent with one run of the other's indicators (two-point crossover), and every other choice."""
        child, n = parent.copy(), len(self._indicators)
        if n:
            first, last = sorted(self._rng.integers(0, n, size=2).tolist())
            taken = set(self._indicators[first : last + 1].tolist())
            genes = [*taken, *(gene for gene, indicator in self._structure.under.items() if indicator in taken)]
            child[genes] = other[genes]
        for gene in self._structure.choices:
            child[gene] = other[gene] if self._rng.random() < 0.5 else child[gene]
        return child

    def _mutate(self, child: Genome) -> None:
        """Change one discrete gene or more: a run of neighbouring indicators, or genes from anywhere."""
        size = int(self._rng.choice(self._sizes, p=self._shares))
        if len(self._indicators) and self._rng.random() < 0.5:
            size = min(size, len(self._indicators))
            first = int(self._rng.integers(0, len(self._indicators) - size + 1))
            genes = self._indicators[first : first + size]
        else:
            genes = self._rng.choice(self._discrete, size=size, replace=False)
        for gene in genes.tolist():
            n = self._structure.choices.get(gene)
            if n is None:
                child[gene] = OFF if child[gene] > 0.5 else ON
            else:
                others = [value for value in range(n) if value != int(child[gene] * n)]
                child[gene] = (float(self._rng.choice(others)) + 0.5) / n

    def _repair(self, genome: Genome) -> None:
        """Switch indicators chosen by chance until as many are on as the space allows."""
        on = self._indicators[genome[self._indicators] > 0.5]
        off = self._indicators[genome[self._indicators] <= 0.5]
        least, most = self._structure.on
        if len(on) > most:
            genome[self._rng.choice(on, size=len(on) - most, replace=False)] = OFF
        elif len(on) < least:
            genome[self._rng.choice(off, size=least - len(on), replace=False)] = ON
