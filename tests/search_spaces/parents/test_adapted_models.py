"""Checkpoints with an adapter compute what the live peft model does: experts, single tokens, tied embeddings."""

from __future__ import annotations

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
from tests.search_spaces.parents.adapters import loaded, trained

# peft also warns of patterns that match parameters only, and reads them all the same.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}") for kind in ("UserWarning", "FutureWarning", "RuntimeWarning")
]

SMALL = {
    "vocab_size": 61,
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 12}
TOKENS = torch.arange(3, 33)[None]

MODELS: dict[str, Callable[[], Any]] = {
    "Qwen3Moe": lambda: transformers.Qwen3MoeConfig(**SMALL, **EXPERTS, head_dim=8, num_experts=4),
    "Mixtral": lambda: transformers.MixtralConfig(**SMALL, num_experts_per_tok=2, num_local_experts=4),
    "GptOss": lambda: transformers.GptOssConfig(**SMALL, num_experts_per_tok=2, num_local_experts=4, head_dim=8),
    "tied": lambda: transformers.Qwen3Config(**SMALL, head_dim=8, tie_word_embeddings=True),
    "untied": lambda: transformers.Qwen3Config(**SMALL, head_dim=8, tie_word_embeddings=False),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Path]:
    """A tiny model of one of MODELS, its experts in tensors of their own or packed, made once."""
    root, known = tmp_path_factory.mktemp("models"), dict[tuple[str, bool], Path]()

    def make(name: str, apart: bool) -> Path:
        if (name, apart) not in known:
            torch.manual_seed(0)
            model = transformers.AutoModelForCausalLM.from_config(MODELS[name]())
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.copy_(torch.randn(parameter.shape) * 0.2)
            known[name, apart] = root / f"{name}-{apart}"
            model.save_pretrained(known[name, apart], save_original_format=apart)
        return known[name, apart]

    return make


def assert_computes_what_peft_does(base: Path, root: Path, **settings: Any) -> Checkpoint:
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    adapted = trained(model, **settings)
    adapted.save_pretrained(root / "adapter")
    ours = Checkpoint.open(ParentSource(str(base), adapter=str(root / "adapter")))
    with torch.no_grad():
        expected = adapted(TOKENS).logits
        with adapted.disable_adapter():
            assert not torch.allclose(expected, adapted(TOKENS).logits, atol=1e-4)
        found = loaded(ours, root / "out", type(model))(TOKENS).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    return ours


BOTH = ["mlp.experts.gate_up_proj", "experts.down_proj"]
FUSED: dict[str, dict[str, Any]] = {
    "both": {"target_parameters": BOTH},
    "one, of scales of its own": {
        "target_parameters": BOTH[:1],
        "use_rslora": True,
        "alpha_pattern": {"gate_up_proj": 3},
    },
    "ranks that differ": {"target_parameters": BOTH, "rank_pattern": {r"layers\.0\..*down_proj": 2}},
    "saved whole": {"modules_to_save": ["mlp"]},
}


@pytest.mark.parametrize("kind", FUSED)
@pytest.mark.parametrize("apart", [True, False], ids=["experts apart", "packed"])
@pytest.mark.parametrize("name", ["Qwen3Moe", "Mixtral"])
def test_adapters_of_fused_experts(
    name: str, apart: bool, kind: str, made: Callable[[str, bool], Path], tmp_path: Path
) -> None:
    assert_computes_what_peft_does(made(name, apart), tmp_path, target_modules=["q_proj"], **FUSED[kind])


def test_experts_that_are_stored_the_other_way_round(made: Callable[[str, bool], Path], tmp_path: Path) -> None:
    assert_computes_what_peft_does(made("GptOss", True), tmp_path, target_modules=["q_proj"], target_parameters=BOTH)


@pytest.mark.parametrize("name", ["Qwen3Moe", "Mixtral"])
def test_adapters_of_experts_apart_fit_packed_ones(
    name: str, made: Callable[[str, bool], Path], tmp_path: Path
) -> None:
    """As peft wrote them beside transformers 4; the reference is plain arithmetic on the files."""
    tensors = load_file(made(name, True) / "model.safetensors")
    factors, expected = {}, {}
    for number, weight in enumerate(n for n in tensors if ".experts." in n):
        torch.manual_seed(number)
        a, b = torch.randn(2, tensors[weight].shape[1]), torch.randn(tensors[weight].shape[0], 2)
        module = weight.removesuffix(".weight")
        factors |= {f"base_model.model.{module}.lora_{s}.weight": f for s, f in (("A", a), ("B", b))}
        expected[weight] = tensors[weight] + 2 * b @ a
    save_adapter_files(tmp_path / "adapter", factors)
    apart, packed = (
        Checkpoint.open(ParentSource(str(made(name, kind)), adapter=str(tmp_path / "adapter")))
        for kind in (True, False)
    )
    for weight, tensor in expected.items():
        torch.testing.assert_close(apart.tensor(weight), tensor)
    kind = transformers.AutoModelForCausalLM
    with torch.no_grad():
        found = [loaded(c, tmp_path / f"out{i}", kind)(TOKENS).logits for i, c in enumerate((apart, packed))]
    torch.testing.assert_close(*found, rtol=0, atol=1e-5)


def save_adapter_files(directory: Path, tensors: dict[str, torch.Tensor]) -> None:
    directory.mkdir()
    save_file(tensors, directory / "adapter_model.safetensors")
    (directory / "adapter_config.json").write_text('{"peft_type": "LORA", "lora_alpha": 4, "r": 2}')


TABLES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "a new embedding beside a tied head": ("tied", {"modules_to_save": ["embed_tokens"]}, False),
    "a new embedding that the head follows": (
        "tied",
        {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
        True,
    ),
    "a new embedding and a new head": ("tied", {"modules_to_save": ["embed_tokens", "lm_head"]}, False),
    "a new embedding beside a head of its own": ("untied", {"modules_to_save": ["embed_tokens"]}, False),
    "tokens of a tied model": ("tied", {"trainable_token_indices": [5, 3, 9]}, True),
    "tokens of an embedding": ("untied", {"trainable_token_indices": [5, 3]}, False),
    "tokens of embedding and head": (
        "untied",
        {"trainable_token_indices": {"embed_tokens": [5], "lm_head": [7]}},
        False,
    ),
    "other tokens of a tied head": ("tied", {"trainable_token_indices": {"embed_tokens": [5], "lm_head": [7]}}, False),
    "factors that the head follows": (
        "tied",
        {"target_modules": ["embed_tokens", "q_proj"], "ensure_weight_tying": True},
        True,
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_over_the_vocabulary(kind: str, made: Callable[[str, bool], Path], tmp_path: Path) -> None:
    name, settings, tied = TABLES[kind]
    ours = assert_computes_what_peft_does(made(name, True), tmp_path, **{"target_modules": ["q_proj"], **settings})
    assert ours.tied == tied
    assert tied or ours.config["tie_word_embeddings"] is False or ours.head is not None


def test_tokens_that_the_config_does_not_name_are_refused(made: Callable[[str, bool], Path], tmp_path: Path) -> None:
    rows = {"base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta": torch.ones(2, 16)}
    save_adapter_files(tmp_path / "adapter", rows)
    with pytest.raises(SpaceError, match=r"trainable_token_indices: expected the 2 tokens .*found None"):
        Checkpoint.open(ParentSource(str(made("tied", True)), adapter=str(tmp_path / "adapter")))
