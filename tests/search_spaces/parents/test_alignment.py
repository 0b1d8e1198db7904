"""Files that name, wrap or pack the same weights in other ways meet under the base's names."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from search_spaces.checks.preflight import preflight
from search_spaces.errors import SpaceError
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource

SMALL = {
    "vocab_size": 61,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}
Save = Callable[[str, transformers.PreTrainedModel], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def save(name: str, model: transformers.PreTrainedModel, **options: bool) -> Path:
        model.save_pretrained(tmp_path / name, **options)
        return tmp_path / name

    return save


def opened(**directories: Path) -> Parents:
    return Parents.open({n: ParentSource(str(path)) for n, path in directories.items()}, base="base")


def renamed(directory: Path, to: Callable[[str], str | None]) -> None:
    tensors = load_file(directory / "model.safetensors")
    save_file({new: t for name, t in tensors.items() if (new := to(name))}, directory / "model.safetensors")


def mixtures() -> list[transformers.PreTrainedModel]:
    config = transformers.Qwen3MoeConfig(
        **SMALL, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=10, decoder_sparse_step=1
    )
    return [transformers.Qwen3MoeForCausalLM(config) for _ in range(2)]


@pytest.mark.parametrize("packed", ["base", "other"])
def test_packed_experts_meet_experts_of_their_own(save: Save, packed: str) -> None:
    models = dict(zip(("base", "other"), mixtures(), strict=True))
    directories = {
        name: save(name, model, save_original_format=name != packed)  # type: ignore[call-arg]
        for name, model in models.items()
    }
    alike = save("alike", models["other"], save_original_format=packed != "base")  # type: ignore[call-arg]
    parents = opened(**directories)
    expected = load_file(alike / "model.safetensors")
    assert set(parents["other"].names) == set(parents["base"].names)
    for name in parents["base"].names:
        assert parents["other"].tensor(name).equal(expected[name]), name
    preflight(parents, "base").raise_for_errors()


def test_a_bare_backbone_meets_the_same_under_a_wrapper(save: Save) -> None:
    config = transformers.BertConfig(
        vocab_size=61, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24
    )
    base, other = save("base", transformers.BertForMaskedLM(config)), save("other", transformers.BertModel(config))
    own = load_file(other / "model.safetensors")
    parents = opened(base=base, other=other)
    inside = [name for name in parents["base"].names if name.startswith("bert.")]
    assert all(parents["other"].tensor(name).equal(own[name.removeprefix("bert.")]) for name in inside)
    assert all(name.startswith("cls.") for name in parents["other"].borrowed)
    preflight(parents, "base").raise_for_errors()
    back = opened(base=other, other=base)
    assert back["other"].borrowed == ("pooler.dense.bias", "pooler.dense.weight")
    preflight(back, "base").raise_for_errors()


def vision_language() -> tuple[transformers.PreTrainedModel, transformers.PreTrainedModel]:
    text = transformers.Gemma3TextConfig(**SMALL)
    vision = transformers.SiglipVisionConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8
    )
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    return transformers.Gemma3ForConditionalGeneration(config), transformers.Gemma3ForCausalLM(text)


def test_a_text_models_tensors_are_the_decoder_of_a_vision_language_model_and_the_tower_is_the_bases(
    save: Save,
) -> None:
    both, text = vision_language()
    parents = opened(base=save("base", both), other=save("other", text))
    decoder = "model.language_model."
    own = {name: tensor for name, tensor in text.state_dict().items() if name.startswith("model.")}
    for name in parents["base"].names:
        plain = name.replace("language_model.model.", decoder).replace(decoder, "model.")
        expected = own[plain] if plain in own else parents["base"].tensor(name)
        assert parents["other"].tensor(name).equal(expected), name
    assert any("vision_tower" in name for name in parents["other"].borrowed)
    preflight(parents, "base").raise_for_errors()


def test_a_vision_language_models_decoder_is_what_a_text_model_meets_in_it(save: Save) -> None:
    both, text = vision_language()
    parents = opened(base=save("base", text), other=save("other", both))
    own = both.state_dict()
    for name in parents["base"].names:
        assert parents["other"].tensor(name).equal(own[name.replace("model.", "model.language_model.", 1)]), name
    assert parents["other"].borrowed == ()
    preflight(parents, "base").raise_for_errors()


def test_packed_experts_that_are_kept_the_other_way_round_are_turned(save: Save) -> None:
    directories = {
        n: save(n, m, save_original_format=False) for n, m in zip(("base", "other"), mixtures(), strict=True)
    }  # type: ignore[call-arg]
    file = directories["base"] / "model.safetensors"
    tensors = load_file(file)
    packed = [name for name, tensor in tensors.items() if tensor.dim() == 3]
    save_file({n: t.mT.contiguous() if n in packed else t for n, t in tensors.items()}, file)
    other = opened(**directories)["other"]
    own = load_file(directories["other"] / "model.safetensors")
    assert packed
    assert all(other.tensor(name).equal(own[name].mT) for name in packed)


def llama(directory: Path) -> Path:
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL)).save_pretrained(directory)
    return directory


def test_tensors_that_no_module_has_are_the_bases_where_a_parent_lacks_them(tmp_path: Path) -> None:
    base, other = llama(tmp_path / "base"), llama(tmp_path / "other")
    more = {
        "model.layers.2.eh_proj.weight": torch.ones(2, 2),
        "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4),
    }
    save_file({**load_file(base / "model.safetensors"), **more}, base / "model.safetensors")
    parents = opened(base=base, other=other)
    assert set(parents["other"].borrowed) == set(more)
    assert parents["base"].architecture.depth == parents["other"].architecture.depth == 2
    preflight(parents, "base").raise_for_errors()


def test_a_tensor_that_a_parents_module_needs_is_never_borrowed(tmp_path: Path) -> None:
    base, other = llama(tmp_path / "base"), llama(tmp_path / "other")
    renamed(other, lambda name: None if name == "model.norm.weight" else name)
    with pytest.raises(SpaceError, match=r"'other' lacks 1 tensors of 'base', among them model\.norm\.weight"):
        preflight(opened(base=base, other=other), "base").raise_for_errors()
