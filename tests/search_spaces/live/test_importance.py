"""The importance of half layers, against transformers' own modules run one after the other."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch

from search_spaces.layers.layer_behaviour import layers_of
from search_spaces.live.importance import importances
from tests.search_spaces.live.flows import family_of, flow
from tests.search_spaces.live.test_layer_surgery import logits, resident

PROMPTS = [[3, 7, 11, 5, 9], [20, 21, 22], [30, 5, 6, 7]]


def test_importance_is_that_of_the_residual_branches_of_each_half(tmp_path: Path) -> None:
    parents = family_of("Llama", tmp_path)
    live = resident(parents)
    live.become(flow(parents))
    before = logits(live.model)
    found = importances(live.model, PROMPTS)
    assert logits(live.model).equal(before), "weights are left as they are"
    layers, seen = layers_of(live.model), []
    for layer in layers:
        layer.input_layernorm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        layer.post_attention_layernorm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    live.model.model.norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    apart = torch.zeros(2 * len(layers), dtype=torch.float64)
    with torch.no_grad():
        for ids in PROMPTS:
            seen.clear()
            live.model(torch.tensor([ids]), use_cache=False)
            for k, (one, other) in enumerate(itertools.pairwise(seen)):
                apart[k] += float((1 - torch.cosine_similarity(one.double(), other.double(), dim=-1)).sum())
    expected = (apart / sum(map(len, PROMPTS))).tolist()
    assert [value for halves in found for value in halves.values()] == pytest.approx(expected, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("architecture", ["GPT2", "Gemma2", "Mixtral", "GPTNeoX"])
def test_importance_is_measured_whatever_the_architecture(architecture: str, tmp_path: Path) -> None:
    parents = family_of(architecture, tmp_path)
    live = resident(parents)
    live.become(flow(parents))
    for halves in importances(live.model, PROMPTS):
        assert set(halves) == {"attention", "mlp"}
        assert all(0.0 < value <= 2.0 for value in halves.values())
