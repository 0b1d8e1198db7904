"""A config as what it computes: defaults filled in, one spelling of rope, windows only where a layer uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from search_spaces.architecture.stacks import DEPTH_KEYS

Form = dict[str, Any]

# What changes no output: bookkeeping, training, how something is computed, and what the tensors tell.
_WITHOUT_EFFECT = re.compile(
    r"^_|dropout|drop_(rate|path)|layerdrop|_pdrop$|^init|initializer|_init_|loss|^output_(attentions|hidden|router)"
    r"|^(transformers|diffusers|unsloth)_|^(torch_)?dtype$|^return_dict|use_cache|^model_type$|pretraining_tp"
    r"|gradient_checkpointing|chunk_size_feed_forward|^mask_(time|feature)|attn_implementation|_jitter|label_smoothing"
    r"|^auto_map$|_kernels$|cache_dtype|momentum|^freeze_|deterministic|associative_scan|nextn|^mtp_|spec_augment"
    r"|^(vocab_size|tie_word_embeddings|num_logits_to_keep|label2id)$"
    r"|^(bos|eos|pad|unk)_token_id$"
)
LABELS = "id2label"
_WHOLE = ("task_specific_params", "rope_scaling")
_UNNAMED = re.compile(r"LABEL_\d+")
_ROPE_NAMES = {"type": "rope_type", "rotary_emb_base": "rope_theta", "rotary_pct": "partial_rotary_factor"}
_ROPE_FLAT = ("rope_theta", "rotary_emb_base", "partial_rotary_factor", "rotary_pct")
_ROPE_NESTED = ("rope_parameters", "rope_scaling")
_WINDOW, _CHUNK = "sliding_window", "attention_chunk_size"
_CHOOSES_WINDOW = ("use_sliding_window", "max_window_layers", "sliding_window_pattern")
# Settings that modelling files read although no config class declares them.
_UNDECLARED = ("head_dim", "position_buckets", "norm_rel_ebd", "conv_act")
UNUSED = " (of no layer)"
IMAGE_ROPE = ("mrope_section", "mrope_interleaved")


def normal_form(settings: Mapping[str, Any]) -> Form:
    """Return path -> value of what a config computes, e.g. `text_config.rope_theta`; `settings` have their defaults.

    A rope is told by `rope_theta`, `partial_rotary_factor` and `rope_scaling` (None: unscaled), with the kind of layer
    behind it where kinds have ropes of their own. What changes no output is left out.
    """
    return dict(_flat(settings, ""))


def levels_of(settings: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the configs inside a config, by key."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and "model_type" in value:
            yield key, value


def _flat(level: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    kind = level.get("model_type")
    own = _declared(kind) if isinstance(kind, str) else None
    plain = {
        key: value
        for key, value in level.items()
        if key not in (*_ROPE_FLAT, *_ROPE_NESTED, LABELS) and (own is None or key in own)
    }
    for name, value in {**_with_windows(_filled(plain)), **_rope(level), **_labels(level)}.items():
        key = str(name)  # numbers name blocks and labels in some
        if _WITHOUT_EFFECT.search(key) or key in DEPTH_KEYS or (key == "architectures" and (prefix or not value)):
            continue
        if isinstance(value, Mapping) and key.partition(".")[0] not in _WHOLE:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@lru_cache(maxsize=64)
def _declared(model_type: object) -> frozenset[str] | None:
    """Return the settings that a model type reads; None where it is not known."""
    from transformers import CONFIG_MAPPING

    if model_type not in CONFIG_MAPPING:
        return None
    config = CONFIG_MAPPING[model_type]
    try:
        default = config().to_dict()
    except Exception:  # a config that has no defaults, of any of hundreds of classes
        default = {}
    return frozenset({*dir(config), *getattr(config, "__dataclass_fields__", ()), *default, *_UNDECLARED})


def _filled(level: Form) -> Form:
    """Return a level with the two sizes that every modelling file derives where they are null."""
    heads, width = level.get("num_attention_heads"), level.get("hidden_size")
    if isinstance(heads, int) and heads:
        if level.get("num_key_value_heads", 0) is None:
            level["num_key_value_heads"] = heads
        if level.get("head_dim", 0) is None and isinstance(width, int):
            level["head_dim"] = width // heads
    return level


def _with_windows(level: Form) -> Form:
    """Return a level whose window is None where no layer looks through one."""
    if _WINDOW not in level and _CHUNK not in level:
        return level
    kinds = level.get("layer_types")
    if isinstance(kinds, list):
        used = {_WINDOW: any("sliding" in str(kind) for kind in kinds), _CHUNK: any("chunk" in str(k) for k in kinds)}
    else:
        first, depth = level.get("max_window_layers"), level.get("num_hidden_layers")
        below = isinstance(first, int) and isinstance(depth, int) and first >= depth
        used = {_WINDOW: level.get("use_sliding_window", True) is not False and not below, _CHUNK: True}
    windows = {key: (level[key] or None) if use else None for key, use in used.items() if key in level}
    return {**{key: value for key, value in level.items() if key.lstrip("_") not in _CHOOSES_WINDOW}, **windows}


def _labels(level: Mapping[str, Any]) -> Form:
    """Return the classes in the order of the head's rows; none where they have no names of their own."""
    named = level.get(LABELS)
    if not isinstance(named, Mapping) or all(_UNNAMED.fullmatch(str(name)) for name in named.values()):
        return {}
    return {LABELS: tuple(str(named[number]) for number in sorted(named, key=lambda n: (len(str(n)), str(n))))}


def _rope(level: Mapping[str, Any]) -> Form:
    """Return a level's rope, whichever version of transformers wrote it."""
    nested: Mapping[str, Any] = next((level[key] for key in _ROPE_NESTED if isinstance(level.get(key), Mapping)), {})
    flat = {_ROPE_NAMES.get(key, key): level[key] for key in _ROPE_FLAT if level.get(key) is not None}
    if nested and all(isinstance(value, Mapping) for value in nested.values()):
        kinds = level.get("layer_types")
        unused = {kind: UNUSED for kind in nested if isinstance(kinds, list) and kind not in kinds}
        ropes = {f"{kind}{unused.get(kind, '')}": _one_rope({**flat, **nested[kind]}) for kind in nested}
        return {f"{key}.{kind}": value for kind, rope in ropes.items() for key, value in rope.items()}
    return _one_rope({**flat, **nested}) if flat or nested else {}


def _one_rope(found: Mapping[str, Any]) -> Form:
    rope = {_ROPE_NAMES.get(key, key): value for key, value in found.items() if value is not None}
    theta, share = rope.pop("rope_theta", None), rope.pop("partial_rotary_factor", 1.0)
    if rope.get("rope_type", "default") in ("default", "mrope"):
        rope = {key: value for key, value in rope.items() if key in IMAGE_ROPE}
    return {"rope_theta": theta, "partial_rotary_factor": share, "rope_scaling": rope or None}
