"""Live models are written whatever the base's files call, wrap or pack their weights."""

from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from search_spaces.layers.architecture import build_module
from search_spaces.live.layer_surgery import FlowResident
from search_spaces.live.resident import ResidentModel
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule

SMALL = {
    "vocab_size": 61,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}
TOKENS = torch.arange(1, 9)[None]


def mixture(directory: Path) -> transformers.PreTrainedModel:
    config = transformers.Qwen3MoeConfig(**SMALL, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=8)
    model = transformers.Qwen3MoeForCausalLM(config)
    model.save_pretrained(directory, save_original_format=False)
    return model


def vision_language_of_2024(directory: Path) -> transformers.PreTrainedModel:
    vision = transformers.SiglipVisionConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8
    )
    text = transformers.Gemma3TextConfig(**SMALL)
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    model = transformers.Gemma3ForConditionalGeneration(config)
    model.save_pretrained(directory)
    tensors = load_file(directory / "model.safetensors")
    today = {name.replace("language_model.model.", "model.language_model."): t for name, t in tensors.items()}
    old = {name.replace("model.language_model.", "language_model.model."): t for name, t in today.items()}
    old = {
        name.removeprefix("model.") if "vision" in name or "projector" in name else name: t for name, t in old.items()
    }
    save_file(old, directory / "model.safetensors")
    return model


def backbone(directory: Path) -> transformers.PreTrainedModel:
    config = transformers.Qwen2Config(**{**SMALL, "tie_word_embeddings": True})
    model = transformers.Qwen2ForCausalLM(config)
    model.model.save_pretrained(directory)
    return model


@pytest.mark.parametrize("make", [mixture, vision_language_of_2024, backbone])
@pytest.mark.parametrize("path", [False, True], ids=["resident", "flow"])
def test_a_live_model_computes_what_its_checkpoint_does(tmp_path: Path, make: object, path: bool) -> None:
    expected = make(tmp_path / "base").eval()  # type: ignore[operator]
    source = ParentSource(str(tmp_path / "base"))
    parents = Parents.open({"base": source}, base="base")
    layers = ({"base": 0}, {"base": 1}) if path else None
    recipe = Recipe({"base": source}, "base", (Rule("passthrough", (Input("base"),)),), dtype="float32", layers=layers)
    resident = (FlowResident if path else ResidentModel)(build_module(parents["base"]), parents)
    resident.become(recipe)
    with torch.no_grad():
        assert resident.model(TOKENS).logits.equal(expected(TOKENS).logits)
