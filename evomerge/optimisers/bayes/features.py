"""Genomes as the response model sees them: choices have no order, and what is switched off does not count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evomerge.typing import Floats
from search_spaces.spaces.space import OFF, ON, Structure

if TYPE_CHECKING:
    from torch import Tensor


class Features:
    """The points of genomes: numbers as they are, switches 0 or 1, a column for each value of a choice.

    Args:
        structure: of the space.
    """

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._numbers = list(structure.continuous)
        self._switches = {switch: place for place, switch in enumerate(structure.indicators)}

    @property
    def discrete(self) -> tuple[int, ...]:
        """The genes that are no numbers, ascending."""
        numbers = set(self._numbers)
        return tuple(gene for gene in range(self._structure.dim) if gene not in numbers)

    def of_tensor(self, genomes: Tensor) -> Tensor:
        """Return (n, d) points of (n, dim) genomes, differentiable along the numbers."""
        import torch

        structure = self._structure
        on = (genomes > 0.5).to(genomes)
        columns = []
        for gene in self._numbers:
            column = genomes[:, gene]
            switch = structure.under.get(gene)
            columns.append(column if switch is None else 0.5 + on[:, switch] * (column - 0.5))
        columns += [on[:, gene] for gene in structure.indicators]
        for gene, n_values in structure.choices.items():
            chosen = (genomes[:, gene] * n_values).long().clamp(0, n_values - 1)
            # Two different values are as far apart as the ends of a number are.
            columns += [(chosen == value).to(genomes) / 2**0.5 for value in range(n_values)]
        return torch.stack(columns, dim=1)

    def of(self, genomes: Floats) -> Floats:
        """Return (n, d) points of (n, dim) genomes."""
        import torch

        rows = np.array(genomes, dtype=np.float64)
        return np.asarray(self.of_tensor(torch.from_numpy(rows)).numpy())

    def rounded(self, genomes: Floats) -> Floats:
        """Return the genomes with each discrete gene in the middle of its value's share; the merges are the same."""
        found = np.array(genomes, dtype=np.float64)
        for gene in self._structure.indicators:
            found[:, gene] = np.where(found[:, gene] > 0.5, ON, OFF)
        for gene, n_values in self._structure.choices.items():
            found[:, gene] = (np.minimum(np.floor(found[:, gene] * n_values), n_values - 1) + 0.5) / n_values
        return found
