"""Compare the parents' config.json: does a setting change what the same weights compute?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from search_spaces.weights.comparisons.row import Level, Row, same_as_base
from search_spaces.weights.parents import Checkpoint

# Settings that change what the same weights compute; other differences are worth a warning only.
_COMPUTES = re.compile(
    r"^(num|n)_(?!labels|beams|positions|ctx)|heads?$|head_dim|hidden_(size|act)|activation|_eps|epsilon|scal|softcap"
    r"|multiplier|sliding|window|layer_types|parallel|rotary|expert|top_?k|norm_"
)
_COMPARED_ELSEWHERE = re.compile(
    r"^(model_type|num_hidden_layers|n_layers?|num_layers|vocab_size|tie_word_embeddings|(torch_)?dtype|_name_or_path"
    r"|rope_.*|rotary_emb_base|partial_rotary_factor|rotary_pct|\w+_token_id)$"
)
_ROPE_NAMES = {"type": "rope_type", "rotary_emb_base": "rope_theta", "rotary_pct": "partial_rotary_factor"}


def compare_configs(checkpoints: Mapping[str, Checkpoint], base: str, *, per_layer: bool = True) -> list[Row]:
    """Return the rows on architecture and rope, and one row per other setting that differs.

    Args:
        checkpoints: the parents, the base among them.
        base: the parent that the others are compared with.
        per_layer: whether to compare lists too, most of which have one entry per layer.
    """
    configs = {name: c.config for name, c in checkpoints.items()}
    architectures = {name: str(config.get("model_type")) for name, config in configs.items()}
    advice = "only models of one architecture merge"
    keys = sorted({key for config in configs.values() for key in config if not _COMPARED_ELSEWHERE.match(key)})
    keys = [key for key in keys if per_layer or not any(isinstance(c.get(key), list) for c in configs.values())]
    rows = [_setting(key, {n: c[key] for n, c in configs.items() if key in c}, base) for key in keys]
    return [
        same_as_base("architecture", architectures, base, otherwise="error", advice=advice),
        _rope(configs, base),
        *(row for row in rows if row.level != "ok"),
    ]


def _setting(key: str, found: Mapping[str, Any], base: str) -> Row:
    # A key that one config leaves out has the architecture's default there, which the file does not tell.
    values = {name: json.dumps(value) for name, value in found.items()}
    if base not in values or len(set(values.values())) == 1:
        return Row(key, values)
    level: Level = "error" if _COMPUTES.search(key) else "warning"
    advice = "the same weights compute something else" if level == "error" else "the merge takes the base's"
    return same_as_base(key, values, base, otherwise=level, advice=advice)


def _rope(configs: Mapping[str, Mapping[str, Any]], base: str) -> Row:
    ropes = {name: _rope_settings(config) for name, config in configs.items()}
    values = {name: " ".join(f"{k}={v}" for k, v in sorted(rope.items())) or "default" for name, rope in ropes.items()}
    notes = [
        f"{name!r} has {key} {rope[key]}, {base!r} has {ropes[base][key]}"
        for name, rope in ropes.items()
        for key in sorted(rope.keys() & ropes[base].keys())
        if rope[key] != ropes[base][key]
    ]
    if notes:
        return Row("rope", values, "error", f"{'; '.join(notes)}: positions would mean different things")
    if any(rope != ropes[base] for rope in ropes.values()):
        return Row("rope", values, "warning", "one config says more than another; the merge takes the base's")
    return Row("rope", values)


def _rope_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return rope parameters under the names of transformers 5, whichever version wrote the config."""
    flat = {
        _ROPE_NAMES.get(key, key): config[key]
        for key in ("rope_theta", "rotary_emb_base", "partial_rotary_factor", "rotary_pct")
        if config.get(key) is not None
    }
    nested = config.get("rope_parameters") or config.get("rope_scaling") or {}
    settings = {**flat, **{_ROPE_NAMES.get(key, key): value for key, value in nested.items()}}
    if settings.get("rope_type") == "default":
        del settings["rope_type"]
    return settings
