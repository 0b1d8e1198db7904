from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from search_spaces.checks.configs import compare_configs
from search_spaces.checks.normal_form import normal_form
from search_spaces.checks.tensors import PreflightRow
from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import settings
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.recipes.recipe import ParentSource

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
LLAMA = {"model_type": "llama", **SIZES}
QWEN = {
    "model_type": "qwen2",
    **SIZES,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1e6,
    "sliding_window": 131072,
    "use_sliding_window": False,
    "max_window_layers": 4,
}
GEMMA = {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text", **SIZES, "num_hidden_layers": 6}}
SHALLOW_GEMMA = {"model_type": "gemma3_text", **SIZES}
LINEAR = {"rope_type": "linear", "factor": 4.0}
SCALED = {"rope_theta": 1e4, **LINEAR}


def checkpoint(directory: Path, config: dict[str, Any]) -> Checkpoint:
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))
    save_file({"model.norm.weight": torch.zeros(1)}, directory / "model.safetensors")
    return Checkpoint.open(ParentSource(str(directory)))


@pytest.fixture
def compared(tmp_path: Path) -> Any:
    def compare(base: dict[str, Any], other: dict[str, Any], **options: Any) -> list[PreflightRow]:
        pair = {"base": checkpoint(tmp_path / "base", base), "other": checkpoint(tmp_path / "other", other)}
        return [row for row in compare_configs(pair, "base", **options) if row.level != "ok"]

    return compare


def levels(rows: list[PreflightRow]) -> dict[str, str]:
    return {row.property: row.level for row in rows}


@pytest.mark.parametrize(
    ("base", "other"),
    [
        (QWEN, {**QWEN, "sliding_window": None}),  # as transformers saves it
        (QWEN, {**QWEN, "max_window_layers": 70}),
        (QWEN, {**QWEN, "sliding_window": 4096}),
        ({**QWEN, "use_sliding_window": True}, {**QWEN, "use_sliding_window": True, "sliding_window": 8}),
        ({**LLAMA, "model_type": "qwen3_moe", "sliding_window": 8}, {**LLAMA, "model_type": "qwen3_moe"}),
        ({**LLAMA, "head_dim": None}, {**LLAMA, "head_dim": 8}),
        ({**LLAMA, "model_type": "mixtral", "head_dim": None}, {**LLAMA, "model_type": "mixtral", "head_dim": 8}),
        (LLAMA, {**LLAMA, "sliding_window": 16}),  # Llama has none
        (LLAMA, {**LLAMA, "rms_norm_eps": 9.999999974752427e-07}),
        ({**LLAMA, "hidden_act": "silu"}, {**LLAMA, "hidden_act": "swish"}),
        ({**LLAMA, "hidden_act": "gelu_new"}, {**LLAMA, "hidden_act": "gelu_pytorch_tanh"}),
        (LLAMA, {**LLAMA, "attention_dropout": 0.5, "transformers_version": "4.0.0", "use_cache": False}),
        (LLAMA, {**LLAMA, "rope_theta": 10000, "rope_scaling": None}),
        (
            {**LLAMA, "rope_theta": 1e4, "rope_scaling": {"type": "linear", "factor": 4}},
            {**LLAMA, "rope_parameters": SCALED},
        ),
        (
            {"model_type": "gemma2", **SIZES, "query_pre_attn_scalar": 256},
            {"model_type": "gemma2", **SIZES, "query_pre_attn_scalar": 256.0},
        ),
        ({"model_type": "falcon_h1", "lm_head_multiplier": 2.0}, {"model_type": "falcon_h1", "lm_head_multiplier": 2}),
        ({"model_type": "mine", "sliding_window": 8, "use_sliding_window": False}, {"model_type": "mine"}),
        (
            {"model_type": "t5", "num_decoder_layers": 2},
            {"model_type": "t5", "num_decoder_layers": 3},
        ),  # a row of its own
        ({**LLAMA, "architectures": ["LlamaForCausalLM"]}, LLAMA),
        ({**LLAMA, "id2label": {"0": "yes", "1": "no"}}, {**LLAMA, "id2label": {"1": "no", "0": "yes"}}),
        ({**LLAMA, "id2label": {"0": "yes", "1": "no"}}, LLAMA),  # classes without names
        ({"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.1"}, {"_class_name": "UNet2DConditionModel"}),
    ],
)
def test_a_difference_without_effect_has_no_row(compared: Any, base: dict[str, Any], other: dict[str, Any]) -> None:
    assert levels(compared(base, other)) == {}


@pytest.mark.parametrize(
    ("base", "other", "expected"),
    [
        (LLAMA, {**LLAMA, "rope_theta": 5e5}, {"rope_theta": "error"}),
        (LLAMA, {**LLAMA, "rope_parameters": SCALED}, {"rope_scaling": "error"}),
        ({**LLAMA, "rope_scaling": LINEAR}, LLAMA, {"rope_scaling": "error"}),
        (LLAMA, {**LLAMA, "num_key_value_heads": 4}, {"num_key_value_heads": "error"}),
        (LLAMA, {**LLAMA, "hidden_act": "gelu"}, {"hidden_act": "error"}),
        (LLAMA, {**LLAMA, "max_position_embeddings": 256}, {"max_position_embeddings": "warning"}),
        (
            {**LLAMA, "architectures": ["LlamaForCausalLM"]},
            {**LLAMA, "architectures": ["LlamaModel"]},
            {"architectures": "warning"},
        ),
        (
            {**QWEN, "use_sliding_window": True, "max_window_layers": 0},
            {**QWEN, "use_sliding_window": True, "max_window_layers": 2},
            {"layer_types": "error"},
        ),
        (
            {**QWEN, "use_sliding_window": True, "max_window_layers": 0},
            {**QWEN, "use_sliding_window": True, "max_window_layers": 0, "sliding_window": 4},
            {"sliding_window": "error"},
        ),
        (
            GEMMA,
            {**GEMMA, "text_config": {**GEMMA["text_config"], "rope_theta": 99.0}},  # type: ignore[dict-item]
            {"text_config.rope_theta.full_attention": "error"},
        ),
        (
            GEMMA,
            {**GEMMA, "vision_config": {"model_type": "siglip_vision_model", "num_attention_heads": 3}},
            {"vision_config.num_attention_heads": "error"},
        ),
        (
            SHALLOW_GEMMA,
            {**SHALLOW_GEMMA, "rope_theta": 99.0},
            {"rope_theta.full_attention (of no layer)": "warning"},
        ),
        ({"model_type": "mine", "rope_theta": 1.0}, {"model_type": "mine", "rope_theta": 2.0}, {"rope_theta": "error"}),
        (
            {**LLAMA, "id2label": {"0": "yes", "1": "no"}},
            {**LLAMA, "id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}},
            {"id2label": "error"},  # rows of the head that stand for other classes
        ),
        (
            {**LLAMA, "id2label": {"0": "yes", "1": "no"}},
            {**LLAMA, "id2label": {"0": "good", "1": "bad"}},
            {"id2label": "warning"},
        ),
    ],
)
def test_a_difference_that_matters_names_its_path(
    compared: Any, base: dict[str, Any], other: dict[str, Any], expected: dict[str, str]
) -> None:
    assert levels(compared(base, other)) == expected


def test_both_values_and_what_to_do_are_told(compared: Any) -> None:
    other = {**LLAMA, "rope_parameters": SCALED}
    (row,) = compared(LLAMA, other)
    assert row.note == (
        'expected null as in \'base\', found {"rope_type": "linear", "factor": 4.0} in \'other\'; '
        "the same weights compute something else"
    )
    assert row.allowed_by == "rope_scaling"


def test_the_first_layer_that_differs_is_told(compared: Any) -> None:
    windows = {**QWEN, "use_sliding_window": True}
    (row,) = compared({**windows, "max_window_layers": 1}, {**windows, "max_window_layers": 3})
    assert row.note.startswith("at 1: expected sliding_attention as in 'base', found full_attention in 'other'")


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"rope_theta": 5e5}, "rope_theta"),
        ({"rope_scaling": LINEAR}, "rope_scaling"),
        ({"rope_scaling": LINEAR}, "rope_parameters"),
        ({"rope_theta": 5e5, "rope_scaling": LINEAR}, "rope"),
        ({"num_key_value_heads": 4}, "num_key_value_heads"),
    ],
)
def test_an_allowed_difference_is_a_warning(compared: Any, change: dict[str, Any], allowed: str) -> None:
    rows = compared(LLAMA, {**LLAMA, **change}, allowed=[allowed])
    assert {row.level for row in rows} == {"warning"}
    assert all("allowed: the merge takes the base's" in row.note for row in rows)


@pytest.mark.parametrize("allowed", ["rope_theta", "text_config", "text_config.rope_theta"])
def test_an_allowed_difference_may_be_named_by_its_level(compared: Any, allowed: str) -> None:
    other = {**GEMMA, "text_config": {**GEMMA["text_config"], "rope_theta": 99.0}}  # type: ignore[dict-item]
    assert set(levels(compared(GEMMA, other, allowed=[allowed])).values()) == {"warning"}


def test_llama_and_mistral_merge_where_that_is_allowed(compared: Any) -> None:
    """Mistral's window, which Llama does not have, is a warning."""
    rows = compared(LLAMA, {**LLAMA, "model_type": "mistral"}, allowed=["model_type"])
    assert levels(rows) == {"model_type": "warning", "sliding_window": "warning", "max_position_embeddings": "warning"}


def test_a_key_that_no_config_has_cannot_be_allowed(compared: Any) -> None:
    with pytest.raises(SpaceError, match=r"found 'rope_thetta' \(did you mean 'rope_theta'\?\)"):
        compared(LLAMA, LLAMA, allowed=["rope_thetta"])


@pytest.mark.parametrize("text_first", [False, True])
@pytest.mark.parametrize(
    ("whole", "text"),
    [
        (GEMMA, GEMMA["text_config"]),
        (
            {"model_type": "mistral3", "text_config": {"model_type": "mistral", **SIZES}},
            {"model_type": "mistral", **SIZES},
        ),
        (
            {
                "model_type": "qwen2_5_vl",
                "text_config": {
                    **SIZES,
                    "rms_norm_eps": 1e-6,
                    "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]},
                    "rope_theta": 1e6,
                },
            },
            QWEN,
        ),
    ],
)
def test_a_text_model_is_compared_with_the_text_level_of_a_larger_one(
    compared: Any, whole: dict[str, Any], text: dict[str, Any], text_first: bool, tmp_path: Path
) -> None:
    pair = (text, whole) if text_first else (whole, text)
    assert "error" not in levels(compared(*pair)).values()
    other = {**text, "rms_norm_eps": 0.1}
    (tmp_path / "again").mkdir()
    again = {
        "base": checkpoint(tmp_path / "again" / "base", whole),
        "other": checkpoint(tmp_path / "again" / "other", other),
    }
    found = [row.property for row in compare_configs(again, "base") if row.level == "error"]
    assert found == ["text_config.rms_norm_eps"]


def _older(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config as transformers 4 wrote it."""
    older = {k: _older(v) if isinstance(v, dict) and "model_type" in v else v for k, v in config.items()}
    rope = older.get("rope_parameters")
    if isinstance(rope, dict) and "rope_theta" in rope:
        rest = {
            k: v for k, v in older.pop("rope_parameters").items() if k not in ("rope_theta", "partial_rotary_factor")
        }
        older |= {k: rope[k] for k in ("rope_theta", "partial_rotary_factor") if k in rope}
        older["rope_scaling"] = None if rest == {"rope_type": "default"} else rest
    older.pop("layer_types", None)
    return older


def _written(config: Any) -> Iterator[dict[str, Any]]:
    whole = json.loads(json.dumps(config.to_dict(), default=str))
    yield whole
    yield json.loads(config.to_json_string(use_diff=True))
    yield _older(whole)


def test_every_architecture_has_one_form_however_its_config_is_written(tmp_path: Path) -> None:
    from transformers import CONFIG_MAPPING, AutoConfig

    seen = 0
    for number, kind in enumerate(CONFIG_MAPPING.keys()):
        if number % 4 == 0 or kind in ("llama", "qwen2", "gemma3", "phi3", "gpt_neox"):
            try:
                config = AutoConfig.for_model(kind)
            except (ValueError, TypeError, OSError):  # has no defaults
                continue
            written = (checkpoint(tmp_path / f"{kind}{i}", data) for i, data in enumerate(_written(config)))
            full, *others = (normal_form(settings(one)) for one in written)
            assert len(full) > 2
            assert [other for other in others if other != full] == [], kind
            seen += 1
    assert seen > 60


LOGITS = [
    ("llama", {}, {"rope_theta": 99.0}),
    ("llama", {}, {"rms_norm_eps": 0.1}),
    ("llama", {}, {"max_position_embeddings": 99}),
    ("llama", {}, {"attention_dropout": 0.5}),
    ("llama", {}, {"hidden_act": "swish"}),
    ("llama", {}, {"hidden_act": "gelu"}),
    ("llama", {}, {"rope_scaling": LINEAR}),
    ("llama", {}, {"sliding_window": 2}),
    ("mistral", {"sliding_window": None}, {"sliding_window": 2}),
    ("qwen2", {}, {"sliding_window": 2}),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 2, "max_window_layers": 0}, {"sliding_window": 4}),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 2, "max_window_layers": 4}, {"max_window_layers": 70}),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 2, "max_window_layers": 4}, {"max_window_layers": 1}),
    ("gemma2", {"head_dim": 8}, {"final_logit_softcapping": 1.0}),
    ("gemma2", {"head_dim": 8}, {"query_pre_attn_scalar": 9}),
    ("granite", {}, {"residual_multiplier": 0.5}),
    ("olmo", {}, {"clip_qkv": 0.01}),
    ("gpt_neox", {}, {"use_parallel_residual": False}),
    ("stablelm", {}, {"partial_rotary_factor": 1.0}),
    ("mixtral", {}, {"num_experts_per_tok": 1}),
    ("mixtral", {}, {"router_aux_loss_coef": 0.5}),
]


@pytest.mark.parametrize(("kind", "common", "change"), LOGITS)
def test_a_difference_is_an_error_exactly_where_logits_of_the_same_weights_differ(
    compared: Any, kind: str, common: dict[str, Any], change: dict[str, Any]
) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    one = {"model_type": kind, **SIZES, **common}
    other = {**one, **change}
    logits, state = [], {}
    for given in (one, other):
        torch.manual_seed(0)
        kept = {key: value for key, value in given.items() if key != "model_type"}
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **kept, initializer_range=0.2)).eval()
        state = state or model.state_dict()
        model.load_state_dict(state)
        with torch.no_grad():
            logits.append(model(torch.arange(12)[None] % 64).logits)
    differs = not torch.allclose(*logits, atol=1e-6)
    assert ("error" in levels(compared(one, other)).values()) == differs


def test_a_model_type_that_is_no_text_is_compared_like_one_that_is_not_known() -> None:
    assert normal_form({"model_type": ["llama"], "hidden_size": 8})["hidden_size"] == 8


def test_a_setting_without_a_name_is_read_like_any_other(compared: Any) -> None:
    assert compared({"text_config": {"": 1}}, {"text_config": {}}) == []
