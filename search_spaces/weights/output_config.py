"""The config.json of a merged model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.groups import n_layers
from search_spaces.recipe import Recipe
from search_spaces.weights.parents import Parents
from search_spaces.weights.sources import donor

_DEPTH_KEYS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
# Lists that are as long as the model is deep only by chance.
_NOT_PER_LAYER = re.compile(r"token_id|architectures|indices|_only_layers|_ids$")


def output_config(recipe: Recipe, parents: Parents) -> dict[str, Any]:
    """Return the base's config with the merge's dtype, tie flag and depth; per-layer lists follow their layers.

    Raises:
        SpaceError: the depth changes, but the config does not say under which key it stands.
    """
    base = parents[recipe.base]
    config = dict(base.config)
    config["torch_dtype" if "torch_dtype" in config else "dtype"] = recipe.dtype
    config["tie_word_embeddings"] = base.tied
    if recipe.layers is None:
        return config
    return _with_layers(config, recipe, parents)


def _with_layers(config: dict[str, Any], recipe: Recipe, parents: Parents) -> dict[str, Any]:
    assert recipe.layers is not None
    depth = n_layers(parents[recipe.base].names)
    keys = [key for key in _DEPTH_KEYS if config.get(key) == depth]
    if not keys:
        raise SpaceError(f"config.json of the base: expected one of {_DEPTH_KEYS} to be {depth}, found none")
    for key, value in config.items():
        if isinstance(value, list) and len(value) == depth and not _NOT_PER_LAYER.search(key):
            config[key] = [_per_layer(recipe, parents, key, layer) for layer in range(len(recipe.layers))]
    return {**config, **dict.fromkeys(keys, len(recipe.layers))}


def _per_layer(recipe: Recipe, parents: Parents, key: str, layer: int) -> Any:
    assert recipe.layers is not None
    name = donor(recipe, layer)
    source: Mapping[str, Any] = parents[name].config
    return source.get(key, parents[recipe.base].config[key])[recipe.layers[layer][name]]
