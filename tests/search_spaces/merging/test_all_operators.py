"""Recipes that a search over all operators proposes are merged into whole models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search_spaces.layers.sources import output_names
from search_spaces.merging.materialise import merged_tensor
from search_spaces.merging.memory import MergeMemory
from search_spaces.operators.registry import OPERATORS
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import Groups
from search_spaces.spaces.weight_space import WeightSpace
from tests.search_spaces.merging.random_statistics import write_statistics

SEARCHABLE = [name for name, operator in OPERATORS.items() if operator.n_inputs[1] != 1]


@pytest.mark.parametrize("depth", ["constant", "linear"])
def test_a_model_may_be_merged_by_another_operator_in_each_group(parents: Parents, depth: str, tmp_path: Path) -> None:
    store, digests = write_statistics(parents, tmp_path)
    memory = MergeMemory(statistics=store)
    space = WeightSpace(
        {name: checkpoint.source for name, checkpoint in parents.checkpoints.items()},
        "base",
        n_layers=2,
        operators=SEARCHABLE,
        operator_per="group",
        groups=Groups(layer_blocks=2, depth=depth),  # type: ignore[arg-type]
        genes={
            "weight": (0.1, 1.0),
            "density": (0.2, 1.0),
            "metric": {"alpha": 2.0, "beta": 1.0},
            "lambda": (0.5, 1.5),
        },
    )
    rng = np.random.default_rng(0)
    used: set[str] = set()
    for operator in range(len(SEARCHABLE)):
        genome = rng.random(space.dim)
        genome[next(i for i, gene in enumerate(space.gene_names()) if gene.parameter == "operator")] = (
            operator + 0.5
        ) / len(SEARCHABLE)
        recipe = space.decode(genome)
        assert space.decode(space.encode(recipe)) == recipe
        used |= {rule.operator for rule in recipe.rules}
        recipe = replace(recipe, statistics=digests)
        for name in output_names(recipe, parents):
            assert merged_tensor(recipe, parents, name, memory=memory).isfinite().all(), (name, recipe.rules)
    assert used == set(SEARCHABLE)
