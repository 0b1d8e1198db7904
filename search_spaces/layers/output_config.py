"""The config.json of a merged model."""

from __future__ import annotations

from typing import Any

from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import settings
from search_spaces.layers.layer_settings import DEPTH_KEYS, LayerSource, per_layer_settings
from search_spaces.layers.sources import donor
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import n_layers
from search_spaces.recipes.recipe import Recipe


def output_config(recipe: Recipe, parents: Parents) -> dict[str, Any]:
    """Return the base's config with the merge's dtype, tie flag and depth; per-layer settings follow their layers.

    Raises:
        SpaceError: the depth changes, but the config does not say under which key it stands; or a setting of the
            architecture cannot describe these layers.
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
    depths = {name: n_layers(parents[name].names) for name in recipe.parents}
    depth = depths[recipe.base]
    keys = [key for key in DEPTH_KEYS if config.get(key) == depth]
    if not keys:
        raise SpaceError(f"config.json of the base: expected one of {DEPTH_KEYS} to be {depth}, found none")
    known = {name: {**parents[name].config, **settings(parents[name])} for name in recipe.parents}
    donors = [donor(recipe, layer) for layer in range(len(recipe.layers))]
    layers = [
        LayerSource(known[name], sources[name], depths[name])
        for name, sources in zip(donors, recipe.layers, strict=True)
    ]
    own = per_layer_settings(known[recipe.base], depth, layers)
    return {**config, **own, **dict.fromkeys(keys, len(layers))}
