"""CycleQD: a quality-diversity archive for each task, whose turn it is by cycles.

Kuroki, Nakamura, Akiba and Tang, "Agent Skill Acquisition for Large Language Models via CycleQD", arXiv:2410.14735
(ICLR 2025). In the archive of a task, quality is the score on it and the cells are scores on the other tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evomerge.candidate import Evaluation, Outcome
from evomerge.optimisers.errors import OptimiserError
from evomerge.optimisers.generation import proposals_of
from evomerge.optimisers.niches.niches import roulette
from evomerge.seeds import stream
from search_spaces.spaces.niches.rank_scaled import RankScaled

# What the least and the most of a score count in the product that parents are drawn by.
NORMALISED = (0.5, 0.8)


@dataclass(frozen=True)
class Elite:
    """What an archive's cell holds."""

    individual: RankScaled
    values: tuple[float, ...]  # of the objectives
    violation: float  # by how much it misses constraints; 0 where all hold


class CycleQD:
    """Fill a grid for each objective with the best merges of each combination of the others; generational.

    The parents alone come first. Then each generation has one objective as its quality, by turns: children are means of
    two elites of its archive, drawn in proportion to the product of their scores, each scaled to [0.5, 0.8] over the
    archive; shares are w ~ N(1, 0.01²). A child mutates along the singular directions of the parent that is best at the
    quality. Every outcome may enter every archive. Completion order has no effect; failures enter none.

    Args:
        n_parents: to merge.
        n_objectives: at least 1; scores in [0, 1], higher is better.
        seed: of everything random.
        children: how many are made at once, at least 1.
        cells: of the grid, for each of the other objectives, at least 1.
        mutation: what a singular component changes by at most, as a share of itself.
        mixing: standard deviation of a child's shares.
    """

    def __init__(
        self,
        n_parents: int,
        *,
        n_objectives: int,
        seed: int,
        children: int = 8,
        cells: int = 10,
        mutation: float = 0.1,
        mixing: float = 0.01,
    ) -> None:
        if n_parents < 1 or n_objectives < 1:
            raise OptimiserError(f"cycle_qd: expected parents and objectives, found {n_parents} and {n_objectives}")
        self._rng, self._size, self._cells = stream(seed, "cycle_qd"), children, cells
        self._mutation, self._mixing = mutation, mixing
        self._alone = [RankScaled(tuple(float(i == k) for i in range(n_parents))) for k in range(n_parents)]
        self._archives: list[dict[tuple[int, ...], Elite]] = [{} for _ in range(n_objectives)]
        self._experts: dict[int, tuple[float, ...]] = {}  # parent -> its values alone
        self._current: list[RankScaled] = list(self._alone)
        self._first, self._handed_out, self._cycle = 0, 0, 0
        self._told: dict[int, Outcome] = {}

    def ask(self, n: int) -> list[RankScaled]:
        """Return the parents, then children; none while outcomes of a generation are pending."""
        if n > 0 and len(self._told) == len(self._current):
            self._next()
        new = self._current[self._handed_out : self._handed_out + max(n, 0)]
        self._handed_out += len(new)
        return new

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Receive outcomes in any order; learn when the generation is complete."""
        end = self._first + self._handed_out
        pending = [number for number in range(self._first, end) if number not in self._told]
        numbers = proposals_of(outcomes, asked=end, pending=pending)
        for outcome in outcomes:
            if isinstance(outcome, Evaluation) and len(outcome.estimate.objectives) != len(self._archives):
                found = len(outcome.estimate.objectives)
                raise OptimiserError(f"objectives: expected {len(self._archives)}, found {found}")
        self._told.update(zip(numbers, outcomes, strict=True))
        if outcomes and len(self._told) == len(self._current):
            for number in sorted(self._told):
                self._receive(number, self._told[number])

    def elites(self, objective: int) -> tuple[Elite, ...]:
        """Return what the archive of an objective holds, by cells in ascending order."""
        archive = self._archives[objective]
        return tuple(archive[cell] for cell in sorted(archive))

    def _receive(self, number: int, outcome: Outcome) -> None:
        if not isinstance(outcome, Evaluation):
            return
        values = tuple(float(objective.value) for objective in outcome.estimate.objectives)
        if number < len(self._alone):
            self._experts[number] = values
        elite = Elite(self._current[number - self._first], values, outcome.violation)
        for quality, archive in enumerate(self._archives):
            cell = tuple(self._cell(value) for i, value in enumerate(values) if i != quality)
            before = archive.get(cell)
            if before is None or (elite.violation, -values[quality]) < (before.violation, -before.values[quality]):
                archive[cell] = elite

    def _cell(self, value: float) -> int:
        return int(np.clip(value * self._cells, 0, self._cells - 1))

    def _next(self) -> None:
        self._first += len(self._current)
        quality = self._cycle % len(self._archives)
        self._cycle += 1
        elites = self.elites(quality)
        shares = _shares(np.array([elite.values for elite in elites]))
        expert = max(self._experts, key=lambda k: (self._experts[k][quality], -k), default=quality % len(self._alone))
        known = [elite.individual for elite in elites] or self._alone
        self._current = [
            self._child(known, shares if elites else np.ones(len(known)), expert, self._first + i + 1)
            for i in range(self._size)
        ]
        self._handed_out, self._told = 0, {}

    def _child(self, known: Sequence[RankScaled], shares: NDArray[np.float64], expert: int, draw: int) -> RankScaled:
        first, second = (known[roulette(shares, self._rng)] for _ in range(2))
        own, other = np.maximum(1.0 + self._mixing * self._rng.standard_normal(2), 1e-3).tolist()
        return first.mixed(second, (own, other)).mutated(expert, draw, self._mutation)


def _shares(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the product of each elite's scores, (n, n_objectives), every one scaled to `NORMALISED`; (n,)."""
    if not len(values):
        return np.ones(0)
    low, high = NORMALISED
    least, span = values.min(axis=0), np.ptp(values, axis=0)
    scaled = np.divide(values - least, span, out=np.ones_like(values), where=span > 0.0)
    product: NDArray[np.float64] = (low + (high - low) * scaled).prod(axis=1)
    return product
