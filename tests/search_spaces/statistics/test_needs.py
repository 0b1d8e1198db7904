from __future__ import annotations

import pytest
import torch
from torch import nn

from search_spaces.architecture.parts import checkpoint_parts
from search_spaces.layers.architecture import module_of
from search_spaces.statistics.grams import collect_grams
from search_spaces.statistics.needs import gram_needs
from tests.search_spaces.statistics.models import make, reader

MOE = {"num_local_experts": 3, "num_experts": 3, "num_experts_per_tok": 2, "head_dim": 4, "moe_intermediate_size": 20}


@pytest.mark.parametrize("kind", ["llama", "gpt2", "phi3", "gemma3_text", "mixtral", "qwen3_moe", "gpt_oss"])
@pytest.mark.parametrize("limit", [10**9, 20_000])
def test_needs_are_what_a_collection_takes(kind: str, limit: int) -> None:
    settings = MOE | {"layer_types": ["full_attention"] * 2}
    model = make(kind, **settings)
    passes = 0
    prompts = torch.arange(4, 44).view(4, 10)

    def read(model: nn.Module, note) -> None:
        nonlocal passes
        passes += 1
        reader(prompts, torch.ones_like(prompts))(model, note)

    grams = collect_grams(model, read, weights=checkpoint_parts(model, model.state_dict()), limit_bytes=limit)
    needs = gram_needs(make(kind, **settings).to("meta"), limit)
    assert needs.disk_bytes == sum(gram.nbytes for gram in grams.tensors.values())
    assert needs.memory_bytes <= max(limit, 8 * 64 * 64)  # one of GPT-2's, which has no room
    if kind != "gpt_oss":  # what the checkpoint stacks goes into one pass
        assert needs.n_passes == passes


def test_llama_3_8b_takes_33_gb_on_disk_and_five_passes_with_8_gb_of_memory() -> None:
    config = {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}
    config |= {"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256}
    with torch.device("meta"):
        module = module_of(config)
    needs = gram_needs(module)
    assert needs.disk_bytes == 32 * (3 * 4096**2 + 14336**2) * 4 == 32_749_125_632
    assert 7_000_000_000 < needs.memory_bytes <= 8_000_000_000
    assert needs.n_passes == 5
    assert needs.disk_bytes < gram_needs(module, 10**12).memory_bytes < 1.1 * needs.disk_bytes


def test_a_model_that_cannot_be_run_on_shapes_counts_each_layer() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5)).to("meta")
    assert gram_needs(model).disk_bytes == 4 * (9 + 16)
