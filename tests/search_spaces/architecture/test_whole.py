"""Tensors against what their module needs: what transformers itself reports as missing, unexpected or misshapen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from transformers import PreTrainedConfig

from search_spaces.architecture.reading import read_architecture
from search_spaces.architecture.whole import flaws_of
from search_spaces.errors import SpaceError
from tests.search_spaces.architecture.test_reading import SMALL, gemma3

LLAMA = {"num_hidden_layers": 4, **SMALL}
Shapes = dict[str, tuple[int, ...]]
Said = dict[str, Any]


def saved(config: PreTrainedConfig, kind: str) -> tuple[Said, Shapes]:
    """What stands in a checkpoint of a class: its config.json, and tensor -> shape."""
    with torch.device("meta"):
        module = getattr(transformers, kind)(config)
    said = {**config.to_dict(), "model_type": config.model_type, "architectures": [kind]}
    return said, {name: tuple(value.shape) for name, value in module.state_dict().items()}


def llama(**settings: Any) -> tuple[Said, Shapes]:
    return saved(transformers.LlamaConfig(**{**LLAMA, **settings}), "LlamaForCausalLM")


def flaws(said: Said, shapes: Shapes, *, whole_numbers: tuple[str, ...] = ()) -> tuple[str, ...]:
    return flaws_of(read_architecture(said, shapes).needs, shapes, set(whole_numbers))


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (transformers.LlamaConfig(**LLAMA), "LlamaForCausalLM"),
        (transformers.Qwen3Config(tie_word_embeddings=True, **LLAMA), "Qwen3ForCausalLM"),
        (gemma3(), "Gemma3ForConditionalGeneration"),
        (transformers.BertConfig(num_hidden_layers=2, **SMALL), "BertModel"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_class_saves_is_whole(config: PreTrainedConfig, kind: str) -> None:
    said, shapes = saved(config, kind)
    assert flaws(said, shapes) == ()


def test_a_missing_layer_is_told_with_its_first_tensor() -> None:
    said, shapes = llama()
    gap = {name: shape for name, shape in shapes.items() if ".layers.1." not in name}
    [found] = flaws(said, gap)
    n = len(shapes) - len(gap) - 1
    assert found == (
        f"LlamaForCausalLM needs model.layers.1.input_layernorm.weight and {n} more tensors, which no file has"
    )


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "_fsdp_wrapped_module._orig_mod."])
def test_names_that_a_wrapper_of_torch_changed_are_told_with_the_wrapper(wrapper: str) -> None:
    said, shapes = llama()
    [found] = flaws(said, {f"{wrapper}{name}": shape for name, shape in shapes.items()})
    assert f"all names begin with '{wrapper}': save the model again" in found


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_hidden_layers": 2}, "asks for 2 of model.layers, the files have 4"),
        ({"num_hidden_layers": 0}, "asks for 0 of model.layers, the files have 4"),
        ({"num_hidden_layers": 6}, "needs model.layers.4.input_layernorm.weight and 17 more tensors"),
        (
            {"vocab_size": 98},
            "expected (98, 32) for model.embed_tokens.weight and 1 others by config.json, found (99, 32)",
        ),
        ({"num_key_value_heads": 4}, "expected (32, 32) for model.layers.0.self_attn.k_proj.weight"),
    ],
)
def test_a_config_that_the_tensors_contradict_is_told(settings: Said, words: str) -> None:
    said, shapes = llama()
    assert words in "; ".join(flaws({**said, **settings}, shapes))


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_size": -1},
        {"hidden_size": "x"},
        {"num_attention_heads": 0},
        {"num_attention_heads": 3},
        {"pad_token_id": 10**6},
        {"max_position_embeddings": "x"},
        {"num_hidden_layers": 10**6},
        {"num_hidden_layers": 1e9},
        {"num_hidden_layers": 900},
        {"layer_types": "x"},
        {"rope_parameters": {"rope_type": "default", "rope_theta": "many"}},
    ],
    ids=str,
)
def test_a_config_of_which_no_model_can_be_made_is_refused(settings: Said) -> None:
    said, shapes = llama()
    with pytest.raises(SpaceError, match="expected the settings of a model of type 'llama', found some that transf"):
        read_architecture({**said, **settings}, shapes)


def test_nothing_is_made_of_a_config_with_more_layers_than_the_files_have_tensors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said, shapes = llama()
    counted: list[int] = []
    made = transformers.models.llama.modeling_llama.LlamaDecoderLayer.__init__

    def count(self: Any, *arguments: Any) -> None:
        counted.append(1)
        made(self, *arguments)

    monkeypatch.setattr(transformers.models.llama.modeling_llama.LlamaDecoderLayer, "__init__", count)
    with pytest.raises(SpaceError, match="num_hidden_layers: expected at most 1,000 layers, found 1,000,000"):
        read_architecture({**said, "num_hidden_layers": 10**6, "architectures": ["LlamaForCausalLM"]}, shapes)
    default = transformers.LlamaConfig().num_hidden_layers
    assert len(counted) <= default


def test_whole_numbers_in_the_place_of_weights_are_told() -> None:
    said, shapes = llama()
    name = "model.layers.3.mlp.down_proj.weight"
    assert flaws(said, shapes, whole_numbers=(name,)) == (
        f"expected weights in floating point, found whole numbers in {name}",
    )


def test_whole_numbers_in_a_buffer_are_as_they_are_saved() -> None:
    said, shapes = saved(transformers.BertConfig(num_hidden_layers=1, **SMALL), "BertModel")
    assert (
        flaws(said, {**shapes, "embeddings.position_ids": (1, 512)}, whole_numbers=("embeddings.position_ids",)) == ()
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda shapes: shapes | {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": (4,) for i in range(4)},
        lambda shapes: {name: shape for name, shape in shapes.items() if name != "lm_head.weight"},
        lambda shapes: {name.removeprefix("model."): shape for name, shape in shapes.items()},
        lambda shapes: shapes | {"vision_tower.layers.7.weight": (3, 3)},
    ],
    ids=["old buffers", "a tied head", "without the prefix", "a part of another model"],
)
def test_what_transformers_loads_without_loss_is_whole(change: Callable[[Shapes], Shapes]) -> None:
    said, shapes = llama(tie_word_embeddings=True)
    assert flaws(said, change(shapes)) == ()


def test_layers_that_predict_further_tokens_may_lie_behind_the_last() -> None:
    sizes = {"kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8}
    config = transformers.DeepseekV3Config(
        vocab_size=99, hidden_size=32, intermediate_size=48, moe_intermediate_size=16, num_attention_heads=4,
        num_key_value_heads=4, n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1,
        num_hidden_layers=2, first_k_dense_replace=1, **sizes,
    )  # fmt: skip
    said, shapes = saved(config, "DeepseekV3ForCausalLM")
    further = {"model.layers.2.eh_proj.weight": (32, 64), "model.layers.2.input_layernorm.weight": (32,)}
    assert flaws({**said, "num_nextn_predict_layers": 1}, shapes | further) == ()
    assert "asks for 2 of model.layers, the files have 4" in str(
        flaws(said, shapes | {f"model.layers.{k}.input_layernorm.weight": (32,) for k in (2, 3)})
    )


def test_a_missing_expert_is_told() -> None:
    config = transformers.MixtralConfig(num_local_experts=4, num_hidden_layers=2, **SMALL)
    said, shapes = saved(config, "MixtralForCausalLM")
    packed = [name for name in shapes if ".experts." in name]
    for name in packed:
        layer = name.partition(".mlp.")[0]
        del shapes[name]
        for expert in range(4):
            own = f"{layer}.block_sparse_moe.experts.{expert}"
            shapes |= {f"{own}.w1.weight": (48, 32), f"{own}.w2.weight": (32, 48), f"{own}.w3.weight": (48, 32)}
    assert flaws(said, shapes) == ()
    del shapes["model.layers.1.block_sparse_moe.experts.2.w2.weight"]
    assert "by config.json, found" in str(flaws(said, shapes))


@pytest.mark.parametrize(("said_of_ties", "n_flaws"), [({}, 0), ({"tie_word_embeddings": False}, 1)])
def test_a_head_that_no_file_has_is_the_embedding_unless_config_json_says_no(said_of_ties: Said, n_flaws: int) -> None:
    said, shapes = llama()
    del said["tie_word_embeddings"], shapes["lm_head.weight"]
    assert len(flaws({**said, **said_of_ties}, shapes)) == n_flaws
