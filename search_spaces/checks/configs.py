"""Compare the parents' configs by what they compute: would the same weights be the same function?"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from search_spaces.checks.normal_form import IMAGE_ROPE, LABELS, UNUSED, Form, levels_of, normal_form
from search_spaces.checks.tensors import Level, PreflightRow
from search_spaces.errors import SpaceError, did_you_mean, shortened
from search_spaces.layers.architecture import settings
from search_spaces.parents.checkpoint import Checkpoint

TYPE = "model_type"
# Settings that change what the same weights compute; other differences are worth a warning only.
_COMPUTES = re.compile(
    r"^(num|n)_(?!labels|beams|positions|ctx)|heads?$|head_dim|hidden_(size|act)|activation|_act(_fn)?$|act_fn|_eps"
    r"|epsilon|^eps$|scal|softcap|multiplier|sliding|window|chunk_size|layer_types|layers_block_type|parallel|rotary|rope"
    r"|expert|top_?k|norm_|_norm|bidirectional|causal|alibi|position_embedding_type|relative_attention|clip_qkv|limit$"
    r"|scoring_func|feed_forward_proj|is_decoder|fp32|temperature|attn_types?$|sparse_step|(dense|moe|mlp)_only_layers"
)
_ACTIVATION = re.compile(r"(^|_)act(ivation(_function|_fn)?|_fn)?$")
# A key that one config leaves out has the architecture's default there, which is filled in; these stay None.
_NONE_WHERE_ABSENT = ("sliding_window", "attention_chunk_size", "rope_theta", "rope_scaling")
_GROUPS = {"rope": "rope_|partial_rotary", "rope_parameters": "rope_|partial_rotary"}
_OTHER_NAMES = {
    "rotary_emb_base": "rope_theta",
    "rotary_pct": "partial_rotary_factor",
    "rope_type": "rope_scaling",
    "use_sliding_window": "sliding_window",
    "max_window_layers": "layer_types",
    "architecture": TYPE,
}
_MOST_SHOWN, _MOST_NAMED = 60, 3


def compare_configs(
    checkpoints: Mapping[str, Checkpoint], base: str, *, per_layer: bool = True, allowed: Collection[str] = ()
) -> list[PreflightRow]:
    """Return the row on model types, and one row per setting that differs.

    Args:
        checkpoints: all parents, the base among them.
        base: the parent that donates the config.
        per_layer: whether settings with one entry per layer are compared.
        allowed: keys whose differences are warnings: a setting (`rope_theta`), its path (`text_config.rope_theta`), a
            level (`text_config`) or `model_type`.

    Raises:
        SpaceError: a key is allowed that no config has.
    """
    known = {name: settings(checkpoint) for name, checkpoint in checkpoints.items()}
    own = normal_form(known[base])
    forms = {name: _beside(known[name], known[base], own) for name in checkpoints}
    paths = sorted({path for form in forms.values() for path in form})
    _check_allowed(allowed, known.values(), paths)
    rows = [_types({name: c.config for name, c in checkpoints.items()}, known, base)]
    for path in paths:
        found = {name: form.get(path) for name, form in forms.items() if path in form or _says_none(form, path)}
        if base in found and (per_layer or not any(isinstance(value, list) for value in found.values())):
            shared = rows[0].level == "ok" or all(path in form for form in forms.values())
            rows.append(_setting(path, found, base, shared=shared))
    return [_allowed(row, allowed) for row in rows if row.level != "ok" or row.property == TYPE]


def is_allowed(path: str, allowed: Collection[str]) -> bool:
    """Return whether one of some keys names a setting, a level around it, or a group that it belongs to."""
    parts = path.split(".")
    for key in allowed:
        group = _GROUPS.get(key)
        if (group and any(re.match(group, part) for part in parts)) or _OTHER_NAMES.get(key, key) in parts:
            return True
        if path == key or path.startswith(f"{key}.") or path.endswith(f".{key}"):
            return True
    return False


def key_of(path: str) -> str:
    """Return the setting's own name in a path: `rope_theta` of `text_config.rope_theta.full_attention`."""
    parts = path.split(".")
    return next((part for part in parts if part.startswith(("rope_", "partial_rotary"))), parts[-1])


def _check_allowed(allowed: Collection[str], known: Iterable[Mapping[str, Any]], paths: Sequence[str]) -> None:
    names = {*_GROUPS, *_OTHER_NAMES, TYPE, "rope_theta", "rope_scaling"}
    names |= {part for path in paths for part in path.split(".")}
    for config in known:
        names |= {*config, *(key for _, level in levels_of(config) for key in level)}
    for key in allowed:
        if key not in names and not any(is_allowed(path, [key]) for path in paths):
            hint = did_you_mean(key, names)
            expected = "allow_differences: expected keys of the parents' config.json"
            raise SpaceError(f"{expected}, found {key!r}{f' ({hint})' if hint else ''}")


def _beside(config: Mapping[str, Any], base: Mapping[str, Any], own: Form) -> Form:
    """Return a parent's form under the base's paths: a text model beside the text level of a larger one."""
    if config.get(TYPE) == base.get(TYPE):
        return normal_form(config)
    inside = next((key for key, level in levels_of(base) if _is_text_of(level, config)), None)
    within = next((level for _, level in levels_of(config) if _is_text_of(level, base)), None)
    if inside is None and within is None:
        return normal_form(config)
    form = normal_form({inside: config} if inside is not None else within or {})
    for path in form:  # positions of images mean nothing to text
        if key_of(path) == "rope_scaling" and _text_rope(form[path]) == _text_rope(own.get(path)):
            form[path] = own.get(path)
    return form


def _is_text_of(level: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    """Whether one is the other's kind or made of it: qwen2_5_vl_text of qwen2, gemma3_text of gemma3_text."""
    words, wanted = (set(str(config.get(TYPE)).split("_")) for config in (level, text))
    return level.get(TYPE) == text.get(TYPE) or ("text" in words and wanted <= words)


def _text_rope(scaling: Any) -> dict[str, Any]:
    return {key: value for key, value in (scaling or {}).items() if key not in IMAGE_ROPE}


def _types(files: Mapping[str, Mapping[str, Any]], known: Mapping[str, Mapping[str, Any]], base: str) -> PreflightRow:
    values = {name: str(file.get(TYPE) or file.get("_class_name")) for name, file in files.items()}
    others = {}
    for name, value in values.items():
        pair = (known[base], known[name])
        related = any(_is_text_of(level, b) for a, b in (pair, pair[::-1]) for _, level in levels_of(a))
        if value != values[base] and not related:
            others[name] = value
    if not others:
        return PreflightRow(TYPE, values)
    note = f"{_expected(values[base], others, base)}; only models of one architecture merge"
    return PreflightRow(TYPE, values, "error", note)


def _setting(path: str, found: Mapping[str, Any], base: str, *, shared: bool) -> PreflightRow:
    key, expected = key_of(path), found[base]
    shown = {name: _shown(value) for name, value in found.items()}
    others = {name: value for name, value in found.items() if not _equal(key, expected, value)}
    if not others:
        return PreflightRow(path, shown)
    # What one of several model types alone has is part of that difference: whoever allows it is warned.
    moved = key == LABELS and any(sorted(value) == sorted(expected) for value in others.values())
    computes = _COMPUTES.search(key) or moved
    level: Level = "error" if computes and shared and not path.endswith(UNUSED) else "warning"
    advice = "the same weights compute something else" if level == "error" else "the merge takes the base's"
    first = next(iter(others.values()))
    place = ""
    if isinstance(expected, list) and isinstance(first, list) and len(expected) == len(first):
        index = next(i for i, pair in enumerate(zip(expected, first, strict=True)) if not _equal(key, *pair))
        others = {n: value[index] for n, value in others.items() if isinstance(value, list) and len(value) > index}
        expected, place = expected[index], f"at {index}: "
    return PreflightRow(path, shown, level, f"{place}{_expected(expected, others, base)}; {advice}")


def _allowed(row: PreflightRow, allowed: Collection[str]) -> PreflightRow:
    if row.level != "error":
        return row
    if not is_allowed(row.property, allowed):
        return replace(row, allowed_by=key_of(row.property))
    return replace(row, level="warning", note=f"{row.note.rpartition(';')[0]}; allowed: the merge takes the base's")


def _says_none(form: Form, path: str) -> bool:
    """Return whether a form has the level of a path, and leaves out what is None then."""
    key = key_of(path)
    return key in _NONE_WHERE_ABSENT and any(known.startswith(path.rpartition(key)[0]) for known in form)


def _expected(expected: Any, others: Mapping[str, Any], base: str) -> str:
    """Return both values, the found ones with whose they are."""
    by_value: dict[str, list[str]] = {}
    for name, value in others.items():
        by_value.setdefault(_shown(value), []).append(name)
    found = ", ".join(f"{value} in {_several(names)}" for value, names in list(by_value.items())[:_MOST_NAMED])
    return f"expected {_shown(expected)} as in {base!r}, found {found}"


def _several(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(map(repr, names[:_MOST_NAMED])) + (f" and {more} more" if more > 0 else "")


def _shown(value: Any) -> str:
    return shortened(value if isinstance(value, str) else json.dumps(value, default=str), _MOST_SHOWN)


def _equal(key: str, one: Any, other: Any) -> bool:
    """Return whether two values compute the same: 256 and 256.0, null and false, silu and swish."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return all(_equal(str(name), one.get(name), other.get(name)) for name in one.keys() | other.keys())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(_equal(key, *pair) for pair in zip(one, other, strict=True))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6)
    if isinstance(one, str) and isinstance(other, str) and one != other and _ACTIVATION.search(key):
        return _same_activation(one, other)
    return (one or None) == (other or None) if one in (None, False) or other in (None, False) else bool(one == other)


@lru_cache(maxsize=64)
def _same_activation(one: str, other: str) -> bool:
    import torch
    from transformers.activations import ACT2FN

    if one not in ACT2FN or other not in ACT2FN:
        return False
    points = torch.linspace(-8.0, 8.0, 257)
    return bool(torch.allclose(ACT2FN[one](points), ACT2FN[other](points), rtol=0.0, atol=1e-6))
