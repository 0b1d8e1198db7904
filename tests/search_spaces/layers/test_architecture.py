"""Odd architectures, whole way: build, become, export, load with plain transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers

from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import build_module
from search_spaces.live.resident import ResidentModel
from search_spaces.output.export import export
from tests.conftest import Family
from tests.search_spaces.merging.recipes import merge, opened

ROPE = {
    "vocab_size": 49,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
ARCHITECTURES = {
    "Llama": ROPE,
    "Qwen2": {**ROPE, "tie_word_embeddings": True},
    "Qwen3": {**ROPE, "head_dim": 8},
    "Mistral": ROPE,
    "Gemma2": {**ROPE, "head_dim": 8},
    "Phi": ROPE,
    "Phi3": ROPE,
    "GPTNeoX": {k: v for k, v in ROPE.items() if k != "num_key_value_heads"},
    "GPT2": {"vocab_size": 49, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 1,
             "eos_token_id": 2},
    "Mixtral": {**ROPE, "num_local_experts": 3},
    "Qwen3Moe": {**ROPE, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "Mamba": {"vocab_size": 49, "hidden_size": 32, "state_size": 4, "num_hidden_layers": 2, "bos_token_id": 1,
              "eos_token_id": 2, "pad_token_id": 0},
}  # fmt: skip


def save_family(architecture: str, root: Path) -> dict[str, Path]:
    config = getattr(transformers, f"{architecture}Config")(**ARCHITECTURES[architecture])
    directories = {}
    for seed, name in enumerate(("base", "alpha", "beta")):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():  # biases and norms start equal in all models
                parameter.add_(torch.randn(parameter.shape) * 0.05)
        model.save_pretrained(root / name)
        directories[name] = root / name
    return directories


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_export_loaded_by_plain_transformers_computes_what_the_live_model_did(
    architecture: str, tmp_path: Path
) -> None:
    parents = opened(save_family(architecture, tmp_path))
    model = ResidentModel(build_module(parents["base"]), parents)
    tokens = torch.arange(12).view(2, 6) + 3
    for number, operator in enumerate(("task_arithmetic", "ties")):
        recipe = merge(parents, operator, dtype="bfloat16", alpha=0.6, beta=0.5)
        model.become(recipe)
        out = export(recipe, parents, tmp_path / f"out{number}", shard_bytes=20_000)
        loaded = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
        with torch.no_grad():
            assert model.model(tokens).logits.equal(loaded(tokens).logits)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_parent_alone_computes_what_the_parent_does(architecture: str, tmp_path: Path) -> None:
    parents = opened(save_family(architecture, tmp_path))
    model = ResidentModel(build_module(parents["base"]), parents)
    model.become(merge(parents, alpha=1.0, beta=0.0))
    parent = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "alpha").eval()
    tokens = torch.arange(12).view(2, 6) + 3
    with torch.no_grad():
        assert model.model(tokens).logits.equal(parent(tokens).logits)


def test_a_checkpoint_of_the_bare_model_fits_the_model_with_a_head(tmp_path: Path) -> None:
    directories = save_family("GPT2", tmp_path)
    for directory in directories.values():
        transformers.AutoModel.from_pretrained(directory).save_pretrained(directory)
    parents = opened(directories)
    assert "h.0.ln_1.weight" in parents["base"]
    model = ResidentModel(build_module(parents["base"]), parents)
    model.become(merge(parents, alpha=1.0))
    expected = transformers.AutoModelForCausalLM.from_pretrained(directories["alpha"]).eval()
    tokens = torch.arange(12).view(2, 6)
    with torch.no_grad():
        assert model.model(tokens).logits.equal(expected(tokens).logits)


def test_the_module_is_in_eval_mode_and_knows_the_bases_generation_config(family: Family) -> None:
    path = family.base / "generation_config.json"
    module = build_module(opened(family.parents)["base"])
    assert not module.training
    assert module.generation_config.eos_token_id == json.loads(path.read_text())["eos_token_id"]


def test_an_architecture_that_transformers_does_not_know_is_named(set_config: object) -> None:
    directory = set_config(model_type="no_such_model")  # type: ignore[operator]
    with pytest.raises(SpaceError, match=r"expected a model that transformers knows, found .*'no_such_model'"):
        build_module(opened({"base": directory})["base"])


def test_a_checkpoints_own_code_is_never_run(set_config: object, tmp_path: Path) -> None:
    directory = set_config(model_type="own", auto_map={"AutoConfig": "code.Config"})  # type: ignore[operator]
    (directory / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(SpaceError, match="expected a model that transformers knows"):
        build_module(opened({"base": directory})["base"])
    assert not (tmp_path / "ran").exists()
