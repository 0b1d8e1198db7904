"""Stacking layers of live models by hand."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

_NUMBERS = ("layer_idx", "layer_id", "layer_number")
_LISTS = ("layer_types", "mlp_layer_types")
_DEPTHS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer", "decoder_layers", "num_decoder_layers")


def main_layers(model: Any) -> nn.ModuleList:
    """Return the layers of a model's decoder, or of its only stack, by what transformers itself calls so."""
    depth = depth_of(model)
    for around in (model.get_decoder() if hasattr(model, "get_decoder") else model, model):
        found = [part for part in around.modules() if isinstance(part, nn.ModuleList) and len(part) == depth]
        if found:
            return max(found, key=lambda layers: sum(parameter.numel() for parameter in layers.parameters()))
    raise AssertionError(f"no list of {depth} layers")


def depth_of(model: Any) -> int:
    """Return how many layers a model's decoder, or its only stack, has."""
    config = model.config
    if config.is_encoder_decoder:
        keys = ("decoder_layers", "num_decoder_layers")
        said = next((getattr(config, key) for key in keys if hasattr(config, key)), None)
        return int(config.decoder.num_hidden_layers if said is None else said)
    return int(config.get_text_config(decoder=True).num_hidden_layers)


def stacked(models: Mapping[str, Any], base: str, path: Sequence[tuple[str, int]]) -> Any:
    """Return the base with other layers: (model, its layer), in order."""
    made = copy.deepcopy(models[base])
    layers, depth = main_layers(made), depth_of(made)
    taken = [copy.deepcopy(main_layers(models[name])[i]) for name, i in path]
    layers._modules.clear()
    layers.extend(taken)
    for number, layer in enumerate(layers):
        for part in layer.modules():
            for key in _NUMBERS:
                if isinstance(getattr(part, key, None), int):
                    setattr(part, key, number)
    config = made.config.get_text_config(decoder=True)
    for key in _LISTS:
        listed = vars(config).get(key)
        if isinstance(listed, list) and len(listed) == depth:
            setattr(config, key, [listed[i] for _, i in path])
    if getattr(config, "attn_layer_indices", None):
        config.attn_layer_indices = [k for k, (_, i) in enumerate(path) if i in config.attn_layer_indices]
    for owner in (config, *made.modules()):
        for key in _DEPTHS:
            if getattr(owner, key, None) == depth:
                setattr(owner, key, len(path))
    return made
