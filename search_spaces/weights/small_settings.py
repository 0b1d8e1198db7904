"""Settings of a small model that works as a large one of the same architecture does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from search_spaces.weights.layer_settings import DEPTH_KEYS, LayerSource, per_layer_settings

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
