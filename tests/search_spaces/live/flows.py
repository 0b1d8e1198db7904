"""Families of parents of different depths, and recipes whose layers come from all over them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import transformers

from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Where
from tests.search_spaces.merging.recipes import copy_of, opened, recipe

ROPE = {
    "vocab_size": 49,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
SLIDING = {**ROPE, "head_dim": 8, "sliding_window": 4}
MOE = {**ROPE, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
SETTINGS = {
    "Llama": ROPE,
    "Qwen2": {**ROPE, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "Qwen3": {**ROPE, "head_dim": 8},
    "Mistral": {**ROPE, "sliding_window": 4},
    "Gemma2": SLIDING,
    "Gemma3Text": {**SLIDING, "sliding_window_pattern": 2},
    "Phi3": ROPE,
    "Phi": ROPE,
    "Mixtral": {**ROPE, "num_local_experts": 3, "sliding_window": None},
    "Qwen3Moe": {**MOE, "mlp_only_layers": [1]},
    "SmolLM3": {**ROPE, "no_rope_layer_interval": 2},
    "Glm4": {**ROPE, "head_dim": 8},
    "GPTNeoX": {k: v for k, v in ROPE.items() if k != "num_key_value_heads"},
    "GPT2": {"vocab_size": 49, "n_embd": 32, "n_head": 4, "n_positions": 64, "bos_token_id": 1, "eos_token_id": 2},
    "DiffLlama": ROPE,
    "Olmo2": ROPE,
    "Mamba": {"vocab_size": 49, "hidden_size": 32, "state_size": 4, "pad_token_id": 0},
}
# Layers of the first know their place, blocks of the second begin without a norm.
ARCHITECTURES = [name for name in SETTINGS if name not in ("DiffLlama", "Olmo2")]
_DEPTH_KEY = {"GPT2": "n_layer"}

# A path through all of them: depths 3, 3 and 4, one layer run twice, one alone at the end of the deepest.
PATH = (("base", 0), ("alpha", 2), ("beta", 3), ("alpha", 2), ("beta", 1))
SCALES = (0.8, 1.25, 0.5, 1.0, 2.0)
DEPTHS = {"base": 3, "alpha": 3, "beta": 4}


def save_family(architecture: str, root: Path, **settings: object) -> dict[str, Path]:
    """Save three models of different depths, whose layers all matter."""
    directories = {}
    for seed, (name, depth) in enumerate(DEPTHS.items()):
        torch.manual_seed(seed)
        shape = {**SETTINGS[architecture], _DEPTH_KEY.get(architecture, "num_hidden_layers"): depth, **settings}
        model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, f"{architecture}Config")(**shape))
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                spread = 1.0 if "embed" in key or "wte" in key else 0.2
                parameter.add_(torch.randn(parameter.shape) * spread)
        model.save_pretrained(root / name)
        directories[name] = root / name
    return directories


def family_of(architecture: str, root: Path, **settings: object) -> Parents:
    return opened(save_family(architecture, root, **settings))


def flow(
    parents: Parents,
    path: Sequence[tuple[str, int]] = PATH,
    scales: Sequence[float] | None = None,
    *,
    outside: str = "base",
    **fields: object,
) -> Recipe:
    """A recipe that runs through these layers; what lies outside them is one parent's."""
    rules = [copy_of(parent, Where(layers=(k, k + 1))) for k, (parent, _) in enumerate(path)]
    layers = tuple({parent: layer} for parent, layer in path)
    scaled = None if scales is None else tuple(scales)
    return recipe(parents, *rules, copy_of(outside), layers=layers, input_scales=scaled, **fields)
