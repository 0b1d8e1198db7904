"""What the paper's figure compares M2N2 with: MAP-Elites and CMA-ES, on flat weight vectors.

The release runs CMA-ES with a full covariance, 19,210 x 19,210: three gigabytes, and an eigendecomposition of which
takes hours on a CPU. Here it is sep-CMA-ES, the diagonal of it (Ros and Hansen 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import evomerge as em
from evomerge.optimisers.niches.niches import roulette
from search_spaces.spaces.niches.stored_crossover import StoredCrossover

Weights = NDArray[np.float32]  # (n_parameters,)
CELLS = 10
POPULATION = 20


class Baseline(Protocol):
    """Proposes one weight vector at a time, and learns how well it reads."""

    best: Weights

    def ask(self) -> Weights:
        """Return the next weights."""
        ...

    def tell(self, right: NDArray[np.bool_]) -> None:
        """Learn which training digits they read correctly; (n_digits,)."""
        ...


class MapElites:
    """The best network of each cell of a grid: its accuracy on odd digits, and on even ones.

    Parents are drawn in proportion to their accuracy, with replacement; children are M2N2's. In the release an accuracy
    of 1 lies outside the grid; here it is in the last cell.
    """

    def __init__(self, crossing: StoredCrossover, odd: NDArray[np.bool_], *, seed: int) -> None:
        self._crossing, self._odd = crossing, odd
        self._rng = em.seeds.stream(seed, "m2n2_digits", "map_elites")
        self._to_come = list(crossing.seeds)
        self._asked = self.best = crossing.seeds[0]
        self._cells: dict[tuple[int, int], tuple[float, Weights]] = {}

    def ask(self) -> Weights:
        """Return a seed, or a child of two elites."""
        if self._to_come:
            self._asked = self._to_come.pop(0)
        else:
            elites = [self._cells[cell] for cell in sorted(self._cells)]
            shares = np.array([accuracy for accuracy, _ in elites])
            first, second = (elites[roulette(shares, self._rng)][1] for _ in range(2))
            self._asked = self._crossing.child(first, second, self._rng)
        return self._asked

    def tell(self, right: NDArray[np.bool_]) -> None:
        """Keep the network where its cell has none as accurate."""
        cell = tuple(min(int(CELLS * right[side].mean()), CELLS - 1) for side in (self._odd, ~self._odd))
        accuracy = float(right.mean())
        best = max((value for value, _ in self._cells.values()), default=-1.0)
        if accuracy > self._cells.get((cell[0], cell[1]), (-1.0,))[0]:
            self._cells[cell[0], cell[1]] = accuracy, self._asked
        if accuracy > best:
            self.best = self._asked


class SepCma:
    """Sep-CMA-ES on the accuracy: begins around a normal vector, in steps of the same size."""

    def __init__(self, size: int, scale: float, *, seed: int) -> None:
        import cma

        rng = em.seeds.stream(seed, "m2n2_digits", "sep_cma_es")
        options = {
            **{"popsize": POPULATION, "CMA_diagonal": True, "verbose": -9, "seed": np.nan},
            **{"randn": lambda *shape: rng.standard_normal(shape), "tolflatfitness": np.inf, "tolstagnation": 0},
        }
        self._strategy = cma.CMAEvolutionStrategy(scale * rng.standard_normal(size), scale, options)
        self._solutions: Sequence[NDArray[np.float64]] = []
        self._losses: list[float] = []
        self.best = np.zeros(size, dtype=np.float32)
        self._least = 1.0

    def ask(self) -> Weights:
        """Return the next of a generation."""
        if len(self._losses) == len(self._solutions):
            if self._losses:
                self._strategy.tell(self._solutions, self._losses)
            self._solutions, self._losses = self._strategy.ask(), []
        return np.asarray(self._solutions[len(self._losses)], dtype=np.float32)

    def tell(self, right: NDArray[np.bool_]) -> None:
        """Learn from the share of digits that are read wrongly."""
        loss = 1.0 - float(right.mean())
        if loss < self._least:
            self._least, self.best = loss, np.asarray(self._solutions[len(self._losses)], dtype=np.float32)
        self._losses.append(loss)
