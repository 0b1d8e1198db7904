"""Where input scales fold into weights, and what they do there; logits are in test_layer_surgery.py."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from search_spaces.errors import SpaceError
from search_spaces.layers.scale_folding import check_foldable
from search_spaces.layers.sources import output_names
from search_spaces.mergekit.reading import read_mergekit
from search_spaces.mergekit.writing import to_mergekit
from search_spaces.merging.materialise import merged_tensor
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.checkpoint_files import CONFIG
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource
from tests.search_spaces.live.flows import ROPE, family_of, flow

O_PROJ, UP_PROJ, DOWN_PROJ = (
    f"model.layers.2.{n}.weight" for n in ("self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")
)
PATH, SCALES = (("base", 0), ("alpha", 1), ("beta", 3)), (0.5, 1.0, 0.8)


@pytest.fixture(scope="module")
def llamas(tmp_path_factory: pytest.TempPathFactory) -> Parents:
    return family_of("Llama", tmp_path_factory.mktemp("llamas"))


def checkpoint(config: transformers.PretrainedConfig, directory: Path) -> Checkpoint:
    """A checkpoint with a config and hardly any weights."""
    from safetensors.torch import save_file

    config.save_pretrained(directory)
    save_file({"model.embed_tokens.weight": torch.zeros(4, 4)}, directory / "model.safetensors")
    return Checkpoint.open(ParentSource(str(directory)))


FOLDABLE: dict[str, dict[str, object]] = {
    "Granite": {"residual_multiplier": 0.22, "embedding_multiplier": 12.0},
    "Olmo": {},
    "Qwen2Moe": {"num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16},
    "Cohere": {"head_dim": 8},
    "OPT": {"word_embed_proj_dim": 32, "ffn_dim": 48},
    "GptOss": {"num_local_experts": 4, "head_dim": 8},
    "StableLm": {"use_parallel_residual": True, "qk_layernorm": True},
}
REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "Olmo2": ({}, r"olmo2 models: its layers are not of the form h \+ block\(norm\(h\)\)"),
    "OPT": ({"word_embed_proj_dim": 32, "ffn_dim": 48, "do_layer_norm_before": False}, "no norm after its last layer"),
    "Exaone4": ({"head_dim": 8}, "its layers are not of the form"),
}


@pytest.mark.parametrize("architecture", FOLDABLE)
def test_architectures_whose_blocks_begin_with_a_norm_fold(architecture: str, tmp_path: Path) -> None:
    config = getattr(transformers, f"{architecture}Config")(
        **{**ROPE, "num_hidden_layers": 3, **FOLDABLE[architecture]}
    )
    check_foldable(checkpoint(config, tmp_path))


@pytest.mark.parametrize("architecture", REFUSED)
def test_other_architectures_are_refused_with_the_reason(architecture: str, tmp_path: Path) -> None:
    settings, reason = REFUSED[architecture]
    config = getattr(transformers, f"{architecture}Config")(**{**ROPE, "num_hidden_layers": 3, **settings})
    with pytest.raises(SpaceError, match=f"input scales: cannot be folded.*{reason}"):
        check_foldable(checkpoint(config, tmp_path))


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    opened = checkpoint(transformers.LlamaConfig(**ROPE), tmp_path)
    unknown = replace(opened, config=json.loads((tmp_path / CONFIG).read_text()) | {"model_type": "unheard_of"})
    with pytest.raises(SpaceError, match="no small unheard_of model could be made to try"):
        check_foldable(unknown)


def test_a_model_too_large_to_try_is_tried_small(tmp_path: Path) -> None:
    shape = {"hidden_size": 8192, "intermediate_size": 28672, "num_attention_heads": 64, "num_key_value_heads": 8}
    check_foldable(checkpoint(transformers.LlamaConfig(**{**ROPE, **shape, "num_hidden_layers": 80}), tmp_path))


def test_trying_leaves_the_random_state_alone(tmp_path: Path) -> None:
    opened = checkpoint(transformers.LlamaConfig(**{**ROPE, "num_hidden_layers": 4}), tmp_path)
    before = torch.get_rng_state()
    check_foldable(opened)
    assert torch.get_rng_state().equal(before)


def test_what_writes_to_the_hidden_state_is_divided_by_the_product_of_the_scales(llamas: Parents) -> None:
    scaled, plain = flow(llamas, PATH, SCALES), flow(llamas, PATH)
    for name in output_names(scaled, llamas):
        before = merged_tensor(plain, llamas, name)
        writes = "o_proj" in name or "down_proj" in name
        product = {"0": 0.5, "1": 0.5, "2": 0.4}[name.split(".")[2]] if writes else 1.0
        torch.testing.assert_close(merged_tensor(scaled, llamas, name), before / product, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("name", [O_PROJ, DOWN_PROJ])
def test_a_folded_tensor_is_rounded_once(llamas: Parents, name: str) -> None:
    exact = merged_tensor(flow(llamas, PATH, SCALES), llamas, name)
    rounded = merged_tensor(flow(llamas, PATH, SCALES, dtype="bfloat16"), llamas, name)
    assert rounded.equal(exact.to(torch.bfloat16))
    twice = merged_tensor(flow(llamas, PATH, dtype="bfloat16"), llamas, name).float() / 0.4
    assert not rounded.equal(twice.to(torch.bfloat16))


def test_norms_after_a_block_fold_around_the_value_that_writes_nothing(tmp_path: Path) -> None:
    parents = family_of("Gemma2", tmp_path)
    scaled, plain = flow(parents, PATH, SCALES), flow(parents, PATH)
    name = "model.layers.2.post_feedforward_layernorm.weight"
    expected = (1.0 + merged_tensor(plain, parents, name)) / 0.4 - 1.0
    torch.testing.assert_close(merged_tensor(scaled, parents, name), expected)
    assert merged_tensor(scaled, parents, DOWN_PROJ).equal(merged_tensor(plain, parents, DOWN_PROJ))


def test_scales_that_multiply_to_1_change_nothing_where_they_do(llamas: Parents) -> None:
    back = flow(llamas, PATH, (0.5, 2.0, 1.0))
    assert merged_tensor(back, llamas, DOWN_PROJ).equal(merged_tensor(flow(llamas, PATH), llamas, DOWN_PROJ))


def test_a_scaled_path_as_mergekits_yaml_is_the_same_merge(llamas: Parents, tmp_path: Path) -> None:
    r = flow(llamas, (*PATH[:2], ("base", 2)), SCALES)
    (tmp_path / "merge.yml").write_text(to_mergekit(r))
    read = read_mergekit(tmp_path / "merge.yml")
    parents = Parents.of(read)
    for name in (O_PROJ, UP_PROJ, DOWN_PROJ):
        torch.testing.assert_close(merged_tensor(read, parents, name), merged_tensor(r, llamas, name))
    assert set(output_names(read, parents)) == set(output_names(r, llamas))


def test_what_mergekit_cannot_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="input_scales: mergekit scales tensors of a passthrough merge only"):
        to_mergekit(flow(family_of("Gemma2", tmp_path), PATH, SCALES))
