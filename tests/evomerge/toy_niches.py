"""Individuals for a campaign without weights: the toy recipes' two weights are their mean coefficients."""

from __future__ import annotations

import numpy as np
import torch

from search_spaces.recipes.flat_layout import FlatLayout
from search_spaces.recipes.recipe import Recipe
from search_spaces.spaces.genes import GeneInfo
from search_spaces.spaces.niches.crossover import Crossover, GramMatrices
from search_spaces.spaces.niches.individual import Individual
from search_spaces.spaces.niches.rank_scaled import RankScaled
from search_spaces.spaces.space import Landmark
from tests.evomerge.toy import ToySpace, weights_recipe

LAYOUT = FlatLayout(("first", "second"), (40, 60))


def toy_crossover() -> Crossover:
    """Two parents of 100 parameters."""
    parents = torch.from_numpy(np.random.default_rng(0).standard_normal((2, LAYOUT.size)))
    return Crossover(GramMatrices(LAYOUT, 2, lambda i: list(parents.split(LAYOUT.sizes, dim=1)[i])))


class ToyNiches:
    """Recipes of `ToySpace`, from individuals over two parents."""

    def decode(self, genome: Individual | RankScaled) -> Recipe:
        if isinstance(genome, RankScaled):
            mutated = [sum(size for (parent, _), size in genome.mutations if parent == k) for k in range(2)]
            return weights_recipe(*(weight + more for weight, more in zip(genome.weights, mutated, strict=True)))
        lengths = np.diff(genome.boundaries) / genome.size
        return weights_recipe(*map(float, lengths @ genome.coefficients))

    def encode(self, recipe: Recipe) -> Individual:
        weights = [float(i.parameters["weight"]) for i in recipe.rules[0].inputs]
        return Individual(np.array([0, LAYOUT.size]), np.array([weights]))

    def landmarks(self) -> list[Landmark]:
        return ToySpace().landmarks()

    def gene_names(self) -> list[GeneInfo]:
        return []
