"""Settings of a config.json that treat layers differently, for a model whose layers come from elsewhere.

Four forms occur: lists with one entry per layer, lists of the layers that something holds for, counts of the first
layers that it holds for, and periods.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEPTH_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")

# Lists that are as long as the model is deep only by chance.
_NOT_PER_LAYER = re.compile(r"token_id|architectures|indices|_ids$|_section$")
_LISTS_OF_LAYERS = re.compile(r"_only_layers$|^moe_layers$|^dense_layers$|_layer_ids$")
_COUNTS = ("first_k_dense_replace", "num_dense_layers", "max_window_layers")
# Key -> the list of layers that can say the same: layer k is in it if k + 1 is no multiple of the period.
_PERIODS = {"decoder_sparse_step": "mlp_only_layers"}


@dataclass(frozen=True)
class LayerSource:
    """Where an output layer comes from.

    Attributes:
        settings: the config of the parent, defaults filled in.
        layer: the parent's layer.
        depth: how many the parent has.
    """

    settings: Mapping[str, Any]
    layer: int
    depth: int


def per_layer_settings(base: Mapping[str, Any], depth: int, layers: Sequence[LayerSource]) -> dict[str, Any]:
    """Return the settings that describe the output's layers as the parents' settings described them.

    Counts and periods cannot describe every order of layers: `check_layers_kept` finds where they do not.

    Args:
        base: the base's settings, defaults filled in; what it does not have is not set.
        depth: how many layers the base has.
        layers: the output's.
    """
    found: dict[str, Any] = {}
    for key, value in base.items():
        if isinstance(value, list) and _LISTS_OF_LAYERS.search(key):
            found[key] = [k for k, source in enumerate(layers) if source.layer in (source.settings.get(key) or ())]
        elif isinstance(value, list) and len(value) == depth and not _NOT_PER_LAYER.search(key):
            found[key] = [_entry(source, key, value) for source in layers]
        elif key in _COUNTS and isinstance(value, int):
            found[key] = sum(source.layer < source.settings.get(key, value) for source in layers)
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
