"""Weights that are stored as (n, o), as GPT-2's, with operators on Gram matrices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from search_spaces.merging.materialise import merged_tensor
from search_spaces.merging.memory import MergeMemory
from search_spaces.operators.least_squares import least_squares
from search_spaces.parents.parents import Parents
from search_spaces.statistics.store import StatisticsStore
from tests.search_spaces.merging.recipes import merge

SQUARE, WIDE = "model.layers.1.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("name", [SQUARE, WIDE])
def test_the_operator_sees_them_with_their_inputs_last(parents: Parents, tmp_path: Path, name: str, known: bool):
    store, digests = StatisticsStore(tmp_path), {"alpha": "a", "beta": "b"}
    n = parents["base"].shape(name)[0]
    grams = {}
    for seed, (parent, digest) in enumerate(digests.items()):
        x = torch.randn(200, n, generator=torch.Generator().manual_seed(seed)) * torch.linspace(0.1, 3, n)
        grams[parent] = x.T @ x / 200
        shares = {name: "g"} if known or parent == "alpha" else {}  # without beta's, the mean
        store.write(digest, "gram", {"g": grams[parent]}, shares, input_first=[name])
    recipe = replace(merge(parents, "regmean", alpha=0.7, beta=0.4), statistics=digests)
    found = merged_tensor(recipe, parents, name, memory=MergeMemory(statistics=store))
    stored = [parents[parent].tensor(name) for parent in digests]
    expected = (0.7 * stored[0] + 0.4 * stored[1]) / 1.1
    if known:
        expected = least_squares([w.T for w in stored], list(grams.values()), [0.7, 0.4], 1.0, 1e-4).T
    assert torch.allclose(found, expected, atol=1e-6)
