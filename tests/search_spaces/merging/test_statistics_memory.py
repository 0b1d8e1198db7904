"""What is remembered of statistics between candidates, and within one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from search_spaces.layers.sources import output_names
from search_spaces.merging.factors import FactorCache
from search_spaces.merging.materialise import merged_tensor
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.operands import operands_of
from search_spaces.merging.plan import plan_tensor
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe
from tests.search_spaces.merging.random_statistics import write_statistics
from tests.search_spaces.merging.recipes import merge

QUERY, KEY = (f"model.layers.0.self_attn.{name}_proj.weight" for name in "qk")


@pytest.fixture
def informed(parents: Parents, tmp_path: Path) -> tuple[Recipe, MergeMemory]:
    store, digests = write_statistics(parents, tmp_path / "statistics", ["gram"])
    memory = MergeMemory(statistics=store, factors=FactorCache(tmp_path / "factors"))
    return replace(merge(parents, "regmean", alpha=0.8, beta=0.3), statistics=digests), memory


def merged(recipe: Recipe, parents: Parents, memory: MergeMemory) -> dict[str, Tensor]:
    return {name: merged_tensor(recipe, parents, name, memory=memory) for name in output_names(recipe, parents)}


def test_a_merge_has_the_same_bits_whatever_is_remembered(
    parents: Parents, informed: tuple[Recipe, MergeMemory]
) -> None:
    recipe, memory = informed
    fresh = merged(recipe, parents, MergeMemory(statistics=memory.statistics, factors=FactorCache(limit_bytes=0)))
    for _ in range(2):
        again = merged(recipe, parents, memory)
        assert all(again[name].equal(tensor) for name, tensor in fresh.items())


def test_statistics_of_another_digest_are_not_mistaken(
    parents: Parents, informed: tuple[Recipe, MergeMemory], tmp_path: Path
) -> None:
    """Both hold as many numbers of the same tensors; only their digests differ."""
    recipe, memory = informed
    before = merged_tensor(recipe, parents, QUERY, memory=memory)
    swapped = {**recipe.statistics, "alpha": recipe.statistics["beta"], "beta": recipe.statistics["alpha"]}
    other = replace(recipe, statistics=swapped)
    found = merged_tensor(other, parents, QUERY, memory=memory)
    expected = merged_tensor(other, parents, QUERY, memory=MergeMemory(statistics=memory.statistics))
    assert found.equal(expected)
    assert not found.equal(before)


def test_weights_that_share_their_inputs_share_one_factorisation(
    parents: Parents, informed: tuple[Recipe, MergeMemory]
) -> None:
    recipe, memory = informed
    systems = []
    for name in (QUERY, KEY):
        operands = operands_of(plan_tensor(recipe, parents, name), parents, memory, stored=False, turned=False)
        assert operands.recent is not None
        of = [(0, "gram"), (1, "gram")]
        systems.append(operands.recent("a system", of, lambda: torch.ones(1)))
    assert systems[0] is systems[1]
