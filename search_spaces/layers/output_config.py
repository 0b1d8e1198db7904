"""The config.json of a merged model, and the settings in it that treat layers differently.

Five forms of these occur: lists with one entry per layer, lists of the layers that something holds for, counts of the
first layers that it holds for, the last of these, and periods.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.architecture.levels import level_of, with_level, with_tie
from search_spaces.architecture.stacks import DEPTH_KEYS
from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import settings
from search_spaces.layers.sources import donor
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe

# Lists that are as long as the model is deep only by chance.
_NOT_PER_LAYER = re.compile(r"token_id|architectures|indices|_ids$|_section$")
_LISTS_OF_LAYERS = re.compile(r"_only_layers$|^moe_layers$|^dense_layers$|_layer_ids$|_layer_indices$")
_COUNTS = ("first_k_dense_replace", "num_dense_layers", "max_window_layers", "moe_layer_start_index")
_LAST = ("moe_layer_end_index",)  # the last layer that something holds for
# Key -> the list of layers that can say the same: layer k is in it if k + 1 is no multiple of the period.
_PERIODS = {"decoder_sparse_step": "mlp_only_layers"}


@dataclass(frozen=True)
class LayerSource:
    """Where an output layer comes from."""

    settings: Mapping[str, Any]  # the config of the parent, defaults filled in
    layer: int  # the parent's layer
    depth: int  # how many the parent has


def per_layer_settings(base: Mapping[str, Any], depth: int, layers: Sequence[LayerSource]) -> dict[str, Any]:
    """Return the settings that describe the output's layers as the parents' settings described them.

    What the base's settings do not have is not set. Counts and periods cannot describe every order of layers:
    `check_layers_kept` finds where they do not.
    """
    found: dict[str, Any] = {}
    for key, value in base.items():
        if isinstance(value, list) and _LISTS_OF_LAYERS.search(key):
            found[key] = [k for k, source in enumerate(layers) if source.layer in (source.settings.get(key) or ())]
        elif isinstance(value, list) and len(value) == depth and not _NOT_PER_LAYER.search(key):
            found[key] = [_entry(source, key, value) for source in layers]
        elif key in _COUNTS and isinstance(value, int):
            found[key] = sum(source.layer < source.settings.get(key, value) for source in layers)
        elif key in _LAST and isinstance(value, int) and value >= 0:
            found[key] = sum(source.layer <= source.settings.get(key, value) for source in layers) - 1
    return {**found, **_without_periods(base, layers, found)}


def _entry(source: LayerSource, key: str, value: list[Any]) -> Any:
    own = source.settings.get(key)
    return (own if isinstance(own, list) and len(own) == source.depth else value)[source.layer]


def _without_periods(
    base: Mapping[str, Any], layers: Sequence[LayerSource], found: Mapping[str, Any]
) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for key, listed in _PERIODS.items():
        if base.get(key, 1) == 1:
            continue
        skipped = {k for k, source in enumerate(layers) if (source.layer + 1) % source.settings.get(key, 1)}
        changed |= {key: 1, listed: sorted(skipped | set(found.get(listed, ())))}
    return changed


# Layers that differ repeat after so many in every known architecture; wide ones would take too long.
_DEPTH, _WIDE_DEPTH = 8, 2
_CLEAR_EPS = 0.1
_HEADS, _KV_HEADS, _MLP, _EXPERTS, _VOCABULARY = 4, 2, 48, 4, 64
_HEADS_KEYS = ("num_attention_heads", "n_head", "n_heads")
_WIDTH_KEYS = ("hidden_size", "n_embd", "d_model", "n_embed")
_MLP_WIDTHS = re.compile(r"(^|_)intermediate_size$|^ffn_dim$|^n_inner$|^ffn_hidden_size$")
_EXPERT_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts")
_EPS = re.compile(r"(^|_)eps(ilon)?$")
_TOKEN = re.compile(r"_token_id$")


def small_settings(settings: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield settings with fewer layers and tokens, the first ones narrow, too: not every architecture can be narrow.

    The eps of norms is large enough in all of them for its part to be seen.
    """
    narrow = _narrower(settings)
    if narrow:
        yield {**_shorter(settings, _DEPTH), **narrow}
    yield _shorter(settings, _WIDE_DEPTH)


def _shorter(settings: Mapping[str, Any], most: int) -> dict[str, Any]:
    short = {**settings, "vocab_size": _VOCABULARY}
    short |= {key: _CLEAR_EPS for key in settings if _EPS.search(key)}
    short |= {key: _token(value) for key, value in settings.items() if _TOKEN.search(key)}
    depth = next((settings[key] for key in DEPTH_KEYS if settings.get(key)), 0)
    chosen = [LayerSource(settings, k, depth) for k in range(min(depth, most))]
    return {**short, **per_layer_settings(settings, depth, chosen), **_present(settings, DEPTH_KEYS, len(chosen))}


def _token(value: Any) -> Any:
    if isinstance(value, list):
        return [_token(one) for one in value]
    return min(value, _VOCABULARY - 1) if isinstance(value, int) else value


def _narrower(settings: Mapping[str, Any]) -> dict[str, Any]:
    heads = next((settings[key] for key in _HEADS_KEYS if settings.get(key)), None)
    width = next((settings[key] for key in _WIDTH_KEYS if settings.get(key)), None)
    if not isinstance(heads, int) or not isinstance(width, int):
        return {}
    narrow_width = (settings.get("head_dim") or width // heads) * _HEADS
    kv_heads = settings.get("num_key_value_heads") or heads
    narrow_kv_heads = {heads: _HEADS, 1: 1}.get(kv_heads, _KV_HEADS)
    return {
        **{key: narrow_width for key, value in settings.items() if value == width and key in _same_width(settings)},
        **{key: _MLP for key, value in settings.items() if isinstance(value, int) and _MLP_WIDTHS.search(key)},
        **_present(settings, _HEADS_KEYS, _HEADS),
        **_present(settings, ("num_key_value_heads",), narrow_kv_heads),
        **_present(settings, _EXPERT_COUNTS, _EXPERTS),
        **_present(settings, ("num_experts_per_tok", "moe_topk"), 2),
        **_present(settings, ("n_group", "topk_group"), 1),
    }


def _same_width(settings: Mapping[str, Any]) -> set[str]:
    return {*_WIDTH_KEYS, "word_embed_proj_dim", "embedding_size"} & settings.keys()


def _present(settings: Mapping[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    return {key: value for key in keys if settings.get(key) is not None}


def output_config(recipe: Recipe, parents: Parents) -> dict[str, Any]:
    """Return the base's config with the merge's dtype, tie flag and depth; per-layer settings follow their layers."""
    base = parents[recipe.base]
    config = dict(base.config)
    if "_class_name" in config and "model_type" not in config:
        return config  # a component of diffusers says neither
    config["torch_dtype" if "torch_dtype" in config else "dtype"] = recipe.dtype
    if base.architecture.has_head:
        config = with_tie(config, base.architecture.head_level, tied=base.tied)
    if recipe.layers is None:
        return config
    architecture = base.architecture
    level = architecture.main.level if architecture.main else ()
    return with_level(config, level, _with_layers(level_of(config, level), recipe, parents))


def _with_layers(config: dict[str, Any], recipe: Recipe, parents: Parents) -> dict[str, Any]:
    assert recipe.layers is not None
    depths = {name: parents[name].architecture.depth for name in recipe.parents}
    depth = depths[recipe.base]
    known = {name: _main_settings(parents[name]) for name in recipe.parents}
    donors = [donor(recipe, layer) for layer in range(len(recipe.layers))]
    layers = [
        LayerSource(known[name], sources[name], depths[name])
        for name, sources in zip(donors, recipe.layers, strict=True)
    ]
    own = per_layer_settings(known[recipe.base], depth, layers)
    keys = _depth_keys(parents[recipe.base], config, depth)
    if not keys and not any(isinstance(value, list) and len(value) == len(layers) for value in own.values()):
        raise SpaceError(f"config.json of the base: expected one of {DEPTH_KEYS[:4]} to be {depth}, found none")
    return {**config, **own, **dict.fromkeys(keys, len(layers))}


def _depth_keys(base: Checkpoint, config: Mapping[str, Any], depth: int) -> Sequence[str]:
    """Return the settings that say the main stack's depth; none where a list of its layers does."""
    main = base.architecture.main
    return (main.depth_keys if main else ()) or [key for key in DEPTH_KEYS if config.get(key) == depth]


def _main_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    main = checkpoint.architecture.main
    level = main.level if main else ()
    return {**level_of(checkpoint.config, level), **level_of(settings(checkpoint), level)}
