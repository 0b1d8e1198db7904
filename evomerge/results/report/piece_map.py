"""A recipe that is a linear combination of parents piece by piece, as a map: parents down, parameters across."""

from __future__ import annotations

import itertools

import numpy as np

from evomerge.results.report.gene_map import Column, GeneMap
from search_spaces.recipes.groups import Place
from search_spaces.recipes.recipe import Recipe

COEFFICIENT = "coefficient"
AXIS = "share of the parameters, in their order"


def piece_maps(recipe: Recipe) -> list[GeneMap]:
    """Return the parents' coefficients along the flattened parameters; none for a recipe of rules."""
    pieces = recipe.pieces
    if pieces is None:
        return []
    spans = list(itertools.pairwise(pieces.boundaries))
    percent = 100 / pieces.boundaries[-1]
    columns = tuple(
        Column(f"{a * percent:.3g}–{b * percent:.3g} %", (a, b), Place(k, "other")) for k, (a, b) in enumerate(spans)
    )
    values = np.array(pieces.coefficients, dtype=np.float64).T
    told = np.array([[f"segment {k + 1} of {len(spans)}" for k in range(len(spans))]] * len(pieces.parents))
    return [GeneMap(COEFFICIENT, tuple(pieces.parents), columns, values, told, AXIS)]
