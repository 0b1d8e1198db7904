"""A recipe's path through the layers of several models, as maps: sources down, output layers across."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evomerge.results.report.gene_map import Column, GeneMap
from search_spaces.recipes.groups import Place
from search_spaces.recipes.layer_path import Step, steps_of
from search_spaces.recipes.recipe import Recipe

SOURCE_LAYER = "source layer"
INPUT_SCALE = "input scale"


def path_maps(recipe: Recipe) -> list[GeneMap]:
    """Return which layer of which source every output layer is, and its input scale where any is not 1.

    A recipe that keeps the base's layers has none.
    """
    steps = steps_of(recipe)
    if not steps:
        return []
    maps = [_map(SOURCE_LAYER, steps, [float(step.layer) for step in steps])]
    if recipe.input_scales is not None:
        maps.append(_map(INPUT_SCALE, steps, recipe.input_scales))
    return maps


def _map(parameter: str, steps: Sequence[Step], numbers: Sequence[float]) -> GeneMap:
    sources = list(dict.fromkeys(step.source for step in steps))
    values = np.full((len(sources), len(steps)), np.nan)
    told = [[""] * len(steps) for _ in sources]
    for k, (step, number) in enumerate(zip(steps, numbers, strict=True)):
        row = sources.index(step.source)
        values[row, k] = number
        told[row][k] = f"layer {step.layer} of {step.source}"
    columns = tuple(Column(str(k), (k, k + 1), Place(k, "other")) for k in range(len(steps)))
    return GeneMap(parameter, tuple(sources), columns, values, np.array(told))
