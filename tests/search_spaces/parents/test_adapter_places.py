"""Adapters on vision-language checkpoints: trained on their class, under older names, and on the text-only class."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.recipes.recipe import ParentSource
from tests.search_spaces.parents.adapters import trained

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("UserWarning", "FutureWarning", "RuntimeWarning")
]

TEXT = {
    "vocab_size": 61,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SIGLIP = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 16,
}
QWEN = {"hidden_size": 16, "out_hidden_size": 16, "depth": 1, "num_heads": 2, "intermediate_size": 24}
ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}}
LINEAR = {f"linear_{key}": 2 for key in ("num_key_heads", "num_value_heads")} | {
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}


def config_of(name: str) -> Any:
    if name == "Gemma3":
        return transformers.Gemma3Config(
            text_config={**TEXT, "head_dim": 8}, vision_config=SIGLIP, mm_tokens_per_image=4
        )
    if name == "Llava":
        return transformers.LlavaConfig(
            text_config=transformers.LlamaConfig(**TEXT), vision_config=transformers.CLIPVisionConfig(**SIGLIP)
        )
    text = {"Qwen2_5_VL": ROPE, "Qwen3VL": {**ROPE, "head_dim": 8}, "Qwen3_5": {**LINEAR, "head_dim": 8}}[name]
    ids = {"image_token_id": 58, "video_token_id": 59, "vision_start_token_id": 57, "vision_end_token_id": 56}
    return getattr(transformers, f"{name}Config")(text_config={**TEXT, **text}, vision_config=QWEN, **ids)


NAMES = ["Gemma3", "Llava", "Qwen2_5_VL", "Qwen3VL", "Qwen3_5"]
TODAY = "base_model.model.model.language_model."
FORMS: dict[str, Callable[[str], str]] = {
    "the class itself": lambda name: name,
    "older prefixes": lambda name: name.replace(TODAY, "base_model.model.language_model.model.").replace(
        ".model.lm_head", ".model.language_model.lm_head"
    ),
    "the text-only class": lambda name: name.replace(TODAY, "base_model.model.model."),
    "the bare decoder": lambda name: name.replace(TODAY, "base_model.model."),
}
TARGETS = r".*language_model.*(v_proj|down_proj)|.*embed_tokens"


@pytest.fixture(scope="module", params=NAMES)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    kind = getattr(transformers, f"{request.param}ForConditionalGeneration")
    kind(config_of(request.param)).save_pretrained(root / "base")
    return root / "base"


def read(base: Path) -> Any:
    [name] = json.loads((base / "config.json").read_text())["architectures"]
    return getattr(transformers, name).from_pretrained(base)


@pytest.fixture(scope="module")
def adapter(base: Path) -> tuple[Path, Path]:
    """An adapter on the decoder and its embedding, and what peft's merge of it saves."""
    adapted = trained(read(base), target_modules=TARGETS)
    adapted.save_pretrained(base.parent / "adapter")
    adapted.merge_and_unload().save_pretrained(base.parent / "merged")
    return base.parent / "adapter", base.parent / "merged"


def assert_same(ours: Checkpoint, merged: Path, base: Path) -> None:
    expected, before = (load_file(path / "model.safetensors") for path in (merged, base))
    assert set(ours.names) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(ours.tensor(name), tensor, rtol=0, atol=1e-6)
    assert sum(not expected[name].equal(before[name]) for name in expected) >= 4


@pytest.mark.parametrize("form", FORMS)
def test_an_adapter_of_each_class_is_what_peft_makes_of_today_s(
    form: str, base: Path, adapter: tuple[Path, Path], tmp_path: Path
) -> None:
    directory, merged = adapter
    tensors = load_file(directory / "adapter_model.safetensors")
    save_file({FORMS[form](name): t for name, t in tensors.items()}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text((directory / "adapter_config.json").read_text())
    assert_same(Checkpoint.open(ParentSource(str(base), adapter=str(tmp_path))), merged, base)


def test_an_adapter_of_the_tower_is_applied_to_the_tower(base: Path, tmp_path: Path) -> None:
    adapted = trained(read(base), target_modules=r".*vis.*(fc1|attn\.proj|linear_fc1|up_proj)")
    adapted.save_pretrained(tmp_path / "adapter")
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    ours = Checkpoint.open(ParentSource(str(base), adapter=str(tmp_path / "adapter")))
    changed = [name for name in ours.names if ours.adapter is not None and name in ours.adapter.changed]
    assert changed
    assert all("vis" in name for name in changed)
    expected = load_file(tmp_path / "merged" / "model.safetensors")
    for name in ours.names:
        torch.testing.assert_close(ours.tensor(name), expected[name], rtol=0, atol=1e-6)


def test_an_adapter_of_another_model_is_one_clear_error(base: Path, tmp_path: Path) -> None:
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**TEXT, "num_hidden_layers": 3}))
    trained(model).save_pretrained(tmp_path)
    with pytest.raises(SpaceError, match=r"expected an adapter for this base, found one for .*: "):
        Checkpoint.open(ParentSource(str(base), adapter=str(tmp_path)))


def test_a_longer_embedding_is_told_at_the_config_level_of_the_decoder(base: Path, tmp_path: Path) -> None:
    model = read(base)
    model.resize_token_embeddings(64, mean_resizing=False)
    adapted = trained(model, target_modules=r".*language_model.*v_proj", modules_to_save=["embed_tokens", "lm_head"])
    adapted.save_pretrained(tmp_path / "adapter")
    ours = Checkpoint.open(ParentSource(str(base), adapter=str(tmp_path / "adapter")))
    assert ours.embedding is not None
    assert ours.shape(ours.embedding) == (64, 16)
    assert ours.config["text_config"]["vocab_size"] == 64
    assert ours.config.get("vocab_size", 64) == 64


def test_experts_stored_as_the_hub_has_them_are_adapted_as_those_that_transformers_saves(tmp_path: Path) -> None:
    """Qwen3-VL's experts lie (in, out) on the hub and (out, in) in what transformers writes; it loads both."""
    text = {**TEXT, **ROPE, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 12}
    config = transformers.Qwen3VLMoeConfig(text_config=text, vision_config=QWEN)
    model = transformers.Qwen3VLMoeForConditionalGeneration(config)
    model.save_pretrained(tmp_path / "saved")
    hub = shutil.copytree(tmp_path / "saved", tmp_path / "hub")
    tensors = load_file(hub / "model.safetensors")
    experts = [name for name in tensors if ".mlp.experts." in name]
    save_file(tensors | {name: tensors[name].mT.contiguous() for name in experts}, hub / "model.safetensors")
    targets = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    adapted = trained(model, target_modules=r".*language_model.*q_proj", target_parameters=targets)
    adapted.save_pretrained(tmp_path / "adapter")
    expected = adapted.merge_and_unload().state_dict()
    saved, other = (
        Checkpoint.open(ParentSource(str(tmp_path / of), adapter=str(tmp_path / "adapter"))) for of in ("saved", "hub")
    )
    for name in experts:
        torch.testing.assert_close(saved.tensor(name), expected[name], rtol=0, atol=1e-6)
        torch.testing.assert_close(other.tensor(name).mT, expected[name], rtol=0, atol=1e-6)


def test_an_adapter_of_a_larger_model_s_text_part_is_merged_into_the_text_only_model(tmp_path: Path) -> None:
    torch.manual_seed(0)
    larger = transformers.Gemma3ForConditionalGeneration(config_of("Gemma3"))
    alone = transformers.Gemma3ForCausalLM(larger.config.text_config)
    alone.model.load_state_dict(larger.model.language_model.state_dict())
    alone.save_pretrained(tmp_path / "base")
    adapted = trained(larger, target_modules=TARGETS)
    adapted.save_pretrained(tmp_path / "adapter")
    expected = adapted.merge_and_unload().model.language_model.state_dict()
    for form in ("the class itself", "older prefixes"):
        file = tmp_path / "adapter" / "adapter_model.safetensors"
        save_file({FORMS[form](name): tensor for name, tensor in load_file(file).items()}, file)
        ours = Checkpoint.open(ParentSource(str(tmp_path / "base"), adapter=str(tmp_path / "adapter")))
        for name, tensor in expected.items():
            torch.testing.assert_close(ours.tensor(f"model.{name}"), tensor, rtol=0, atol=1e-6)
