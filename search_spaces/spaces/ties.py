"""Coarser views of a space: genes of neighbouring groups tied to one value, and the space of what is left."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_spaces.recipes.recipe import Recipe
from search_spaces.spaces.genes import GeneInfo
from search_spaces.spaces.space import CubeSpace, Genome, Landmark, SearchSpace, Structure

Owner: TypeAlias = NDArray[np.intp]  # (dim,) which of the tied genes each gene takes its value from
_PARTS = 3  # that a part of the depth is split into


def levels(infos: Sequence[GeneInfo], structure: Structure) -> list[Owner]:
    """Return ever finer ties of a space's genes, the last of which ties none.

    First a parameter of a parent has one value everywhere, then one for each third of the depth, then one for each kind
    of module there, then for thirds of the thirds, and so on. Each level can express what the one before it can. Genes
    of a path through the layers, and of the whole model, are never tied.
    """
    never = {*structure.indicators, *structure.under}
    tied = [i for i, info in enumerate(infos) if i not in never and (info.layers or info.module)]
    depths = sorted({layers[0] for i in tied if (layers := infos[i].layers)})
    found: list[Owner] = []
    for parts, by_module in _views(len(depths)):
        keys: list[Hashable] = list(range(len(infos)))
        for i in tied:
            layers, module = infos[i].layers, infos[i].module
            # What spans the whole depth is part of none of its parts.
            part = 0 if parts == 1 else -1 if layers is None else depths.index(layers[0]) * parts // len(depths)
            keys[i] = (infos[i].parameter, infos[i].parent, part, module if by_module else None)
        first = {key: n for n, key in enumerate(dict.fromkeys(keys))}
        owner = np.array([first[key] for key in keys], dtype=np.intp)
        if not found or len(first) > found[-1].max() + 1:
            found.append(owner)
    return found if len({*found[-1].tolist()}) == len(infos) else [*found, np.arange(len(infos))]


def _views(n_depths: int) -> list[tuple[int, bool]]:
    """Return into how many parts the depth is split at each level, and whether modules are told apart."""
    parts = min(_PARTS, max(n_depths, 1))
    views = [(1, False), (parts, False), (parts, True)]
    while parts < n_depths:
        parts = min(_PARTS * parts, n_depths)
        views.append((parts, True))
    return views


class CubeVectors(SearchSpace[Genome], CubeSpace, Protocol):
    """A search space whose genomes are cube vectors."""


class TiedSpace:
    """What a space of cube vectors can express with some of its genes tied; implements `SearchSpace`, `CubeSpace`.

    Args:
        space: whose genes are tied.
        owner: see `levels`.
    """

    def __init__(self, space: CubeVectors, owner: Owner) -> None:
        self._space, self._owner, self._whole = space, owner, space.structure
        self._first = np.unique(owner, return_index=True)[1]  # gene that each tied one is told by

    def expanded(self, genome: Genome) -> Genome:
        """Return the (dim of the space,) genome of a tied one."""
        return np.asarray(genome, dtype=np.float64)[self._owner]

    def holds(self, genome: Genome) -> bool:
        """Return whether a genome of the space is one of these."""
        return bool((genome == genome[self._first][self._owner]).all())

    def tied(self, genome: Genome) -> Genome:
        """Return the tied genome of one of the space, (n_tied,); where there is none, of means, and first choices."""
        told = genome[self._first]
        if self.holds(genome):
            return told
        means = np.bincount(self._owner, weights=genome) / np.bincount(self._owner)
        discrete = self._owner[[*self._whole.choices, *self._whole.indicators]]
        means[discrete] = told[discrete]
        return np.clip(means, 0.0, 1.0)

    @property
    def structure(self) -> Structure:
        """Which tied genes are choices, and what these govern."""
        whole, owner = self._whole, self._owner.tolist()
        groups: list[tuple[int, ...]] = []
        for group in whole.groups:  # a tied gene is of the first group that it stands for
            known = {gene for other in groups for gene in other}
            groups.append(tuple(dict.fromkeys(owner[gene] for gene in group if owner[gene] not in known)))
        return Structure(
            int(self._owner.max()) + 1,
            tuple(owner[gene] for gene in whole.indicators),
            whole.on,
            {owner[gene]: n for gene, n in whole.choices.items()},
            {owner[gene]: owner[indicator] for gene, indicator in whole.under.items()},
            tuple(group for group in groups if group),
        )

    def start(self) -> Genome:
        """Return where a search of the space begins, as near as it can be said."""
        return self.tied(self._space.start())

    def decode(self, genome: Genome) -> Recipe:
        """Return the recipe of a tied genome."""
        return self._space.decode(self.expanded(genome))

    def encode(self, recipe: Recipe) -> Genome:
        """Return the tied genome of a recipe that decode yields, of another one the nearest."""
        return self.tied(self._space.encode(recipe))

    def landmarks(self) -> list[Landmark]:
        """Return the space's."""
        return self._space.landmarks()

    def gene_names(self) -> list[GeneInfo]:
        """Return what each tied gene means, told by the first one that it stands for."""
        infos = self._space.gene_names()
        return [infos[i] for i in self._first]
