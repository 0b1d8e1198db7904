from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.errors import SpaceError
from search_spaces.recipes.groups import Group, Groups, Place, blocks, knots, layout, locate, matches, n_layers
from search_spaces.recipes.rule import Where

PLACES = {
    # Llama, Qwen, Phi
    "model.embed_tokens.weight": Place(None, "other", "before"),
    "model.layers.11.self_attn.q_proj.weight": Place(11, "attention"),
    "model.layers.11.self_attn.q_proj.bias": Place(11, "attention"),
    "model.layers.11.self_attn.q_norm.weight": Place(11, "other"),
    "model.layers.3.mlp.gate_proj.weight": Place(3, "mlp"),
    "model.layers.3.mlp.fc1.bias": Place(3, "mlp"),
    "model.layers.3.post_attention_layernorm.weight": Place(3, "other"),
    "model.norm.weight": Place(None, "other", "after"),
    "model.final_layernorm.bias": Place(None, "other", "after"),
    "lm_head.weight": Place(None, "other", "after"),
    # GPT-2
    "transformer.wte.weight": Place(None, "other", "before"),
    "wpe.weight": Place(None, "other", "before"),
    "h.0.attn.c_attn.weight": Place(0, "attention"),
    "transformer.h.5.mlp.c_fc.weight": Place(5, "mlp"),
    "transformer.h.5.ln_1.weight": Place(5, "other"),
    "transformer.ln_f.bias": Place(None, "other", "after"),
    # GPT-NeoX
    "gpt_neox.embed_in.weight": Place(None, "other", "before"),
    "gpt_neox.layers.0.attention.query_key_value.weight": Place(0, "attention"),
    "gpt_neox.layers.0.attention.dense.bias": Place(0, "attention"),
    "gpt_neox.layers.0.mlp.dense_h_to_4h.weight": Place(0, "mlp"),
    "gpt_neox.final_layer_norm.weight": Place(None, "other", "after"),
    "embed_out.weight": Place(None, "other", "after"),
    # Bloom, Falcon, OPT
    "transformer.word_embeddings_layernorm.weight": Place(None, "other", "before"),
    "transformer.h.2.self_attention.query_key_value.weight": Place(2, "attention"),
    "transformer.h.2.ln_attn.weight": Place(2, "other"),
    "model.decoder.layers.4.fc1.weight": Place(4, "mlp"),
    "model.decoder.layers.4.self_attn_layer_norm.weight": Place(4, "other"),
    "model.decoder.embed_positions.weight": Place(None, "other", "before"),
    # experts: the first number is the layer
    "model.layers.7.block_sparse_moe.experts.2.w1.weight": Place(7, "mlp"),
    "model.layers.7.block_sparse_moe.gate.weight": Place(7, "mlp"),
    "model.layers.7.mlp.experts.63.down_proj.weight": Place(7, "mlp"),
    "model.layers.7.mlp.shared_expert_gate.weight": Place(7, "mlp"),
    # neither attention nor MLP
    "backbone.layers.1.mixer.A_log": Place(1, "other"),
}


@pytest.mark.parametrize(("name", "place"), PLACES.items())
def test_the_place_of_a_tensor_follows_from_its_name(name: str, place: Place) -> None:
    assert locate(name) == place


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "phi", "mixtral", "opt", "bloom", "qwen3"])
def test_real_architectures_have_attention_and_mlp_in_every_layer_and_all_vectors_are_told_apart(kind: str) -> None:
    names = {name: len(shape) for name, shape in model_shapes(kind).items()}
    assert n_layers(names) == 2
    for layer in range(2):
        inside = [(locate(name).module, dims) for name, dims in names.items() if locate(name).layer == layer]
        assert {module for module, dims in inside if dims > 1} == {"attention", "mlp"}
        assert ("other", 1) in inside  # norms
    outside = {locate(name).side for name in names if locate(name).layer is None}
    assert outside == {"before", "after"}


def model_shapes(kind: str) -> dict[str, tuple[int, ...]]:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "hidden_size": 16,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "vocab_size": 50,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes))
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def test_the_depth_is_counted_from_names() -> None:
    assert n_layers(["model.embed_tokens.weight", "model.layers.0.x", "model.layers.11.mlp.experts.63.w1"]) == 12
    assert n_layers(["weight"]) == 0


@pytest.mark.parametrize(
    ("where", "matched"),
    [
        (Where(), True),
        (Where(layers=(2, 4)), True),
        (Where(layers=(3, 4)), False),
        (Where(module="attention"), True),
        (Where(module="mlp"), False),
        (Where(contains=("q_proj",)), True),
        (Where(contains=("q_proj", "bias")), False),
        (Where(layers=(0, 3), module="attention", contains=("self_attn", "q_proj")), True),
        (Where(side="before"), False),
    ],
)
def test_where_matches_when_every_condition_holds(where: Where, matched: bool) -> None:
    name = "model.layers.2.self_attn.q_proj.weight"
    assert matches(where, name, locate(name)) == matched


def test_a_range_of_layers_matches_nothing_outside_the_layers() -> None:
    assert not matches(Where(layers=(0, 99)), "model.norm.weight", locate("model.norm.weight"))
    assert matches(Where(side="after"), "model.norm.weight", locate("model.norm.weight"))


@given(st.integers(1, 200), st.data())
def test_blocks_cover_the_depth_in_order_and_differ_by_at_most_one_layer(depth: int, data: st.DataObject) -> None:
    ranges = blocks(depth, data.draw(st.integers(1, depth)))
    assert [layer for first, last in ranges for layer in range(first, last)] == list(range(depth))
    sizes = {last - first for first, last in ranges}
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 200), st.data())
def test_knots_are_distinct_layers_nearest_to_even_depths_from_first_to_last(depth: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, depth))
    layers = knots(depth, n)
    assert sorted(set(layers)) == layers
    assert len(layers) == n
    assert layers[0] == 0
    assert n == 1 or layers[-1] == depth - 1
    assert all(abs(layer - i * (depth - 1) / max(n - 1, 1)) <= 0.5 for i, layer in enumerate(layers))


def test_other_is_one_group_over_the_whole_depth() -> None:
    assert layout(Groups(2, ("attention", "other")), 5) == [
        Group("attention", (0, 2)),
        Group("attention", (2, 5)),
        Group("other", None),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer_blocks": 0}, "layer_blocks: expected at least 1, found 0"),
        ({"modules": ("atention",)}, "found \\['atention'\\]"),
        ({"modules": ()}, "found \\[\\]"),
        ({"modules": ("all", "mlp")}, "found \\['all', 'mlp'\\]"),
        ({"modules": ("mlp", "mlp")}, "each once"),
        ({"depth": "cubic"}, "depth: expected constant or linear, found 'cubic'"),
    ],
)
def test_groups_that_make_no_sense_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Groups(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("depth", ["constant", "linear"])
def test_more_blocks_than_layers_are_refused(depth: Literal["constant", "linear"]) -> None:
    with pytest.raises(SpaceError, match=r"at most one per layer \(3\), found 4"):
        layout(Groups(layer_blocks=4, depth=depth), 3)
