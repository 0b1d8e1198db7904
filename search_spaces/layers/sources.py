"""Which tensors a merged model has, and which tensor of which parent each is made from."""

from __future__ import annotations

from search_spaces.errors import SpaceError
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import locate, n_layers
from search_spaces.recipes.recipe import Recipe

_TIED_HEAD = "lm_head.weight"  # files of tied models lack it; a filter on it is none the less sound


def output_names(recipe: Recipe, parents: Parents) -> list[str]:
    """Return the names of the merged model's tensors: the base's, without a head that repeats the embedding.

    With `Recipe.layers`, output layer k has the tensors of its donor's layer.
    """
    parents.check(recipe)
    base = parents[recipe.base]
    names = [name for name in base.names if not (base.tied and name == base.head)]
    if recipe.layers is None:
        return names
    _check_layers(recipe, parents)
    outside = [name for name in names if locate(name).layer is None]
    return outside + [name for k in range(len(recipe.layers)) for name in _layer_names(recipe, parents, k)]


def donor(recipe: Recipe, layer: int | None) -> str:
    """Return the parent that gives an output layer its names, buffers and config: the base where it takes part."""
    if layer is None or recipe.layers is None:
        return recipe.base
    if layer >= len(recipe.layers) or not recipe.layers[layer]:
        raise SpaceError(f"layers: expected a map of parents to layers for output layer {layer}, found none")
    return recipe.base if recipe.base in recipe.layers[layer] else next(iter(recipe.layers[layer]))


def source_name(recipe: Recipe, parents: Parents, name: str, parent: str) -> str:
    """Return the name that a parent's checkpoint has for what an output tensor is made from."""
    source = name
    layer = locate(name).layer
    if layer is not None and recipe.layers is not None:
        if parent not in recipe.layers[layer]:
            raise SpaceError(f"layers: expected a layer of parent {parent!r} for output layer {layer}, found none")
        source = with_layer(name, recipe.layers[layer][parent])
    checkpoint = parents[parent]
    if source in checkpoint:
        return source
    raise SpaceError(f"parent {parent!r}: expected a tensor {source}, found none in {checkpoint.directory}")


def check_filters(recipe: Recipe, parents: Parents) -> None:
    """Do nothing if every part of a name that a rule asks for occurs among the parents' tensors."""
    names = {name for checkpoint in parents.checkpoints.values() for name in checkpoint.names} | {_TIED_HEAD}
    for part in {part for rule in recipe.rules for part in rule.where.contains or ()}:
        if not any(part in name for name in names):
            raise SpaceError(f"filter: expected a part of some tensor's name, found {part!r}, which is in none")


def with_layer(name: str, layer: int) -> str:
    """Return a tensor's name in another layer: the first number in it is the layer's."""
    parts = name.split(".")
    index = next(i for i, part in enumerate(parts) if part.isdecimal())
    return ".".join([*parts[:index], str(layer), *parts[index + 1 :]])


def _layer_names(recipe: Recipe, parents: Parents, layer: int) -> list[str]:
    name = donor(recipe, layer)
    checkpoint: Checkpoint = parents[name]
    assert recipe.layers is not None
    source = recipe.layers[layer][name]
    return [with_layer(tensor, layer) for tensor in checkpoint.names if locate(tensor).layer == source]


def _check_layers(recipe: Recipe, parents: Parents) -> None:
    depths = {name: n_layers(parents[name].names) for name in recipe.parents}
    for layer, sources in enumerate(recipe.layers or ()):
        for name, source in sources.items():
            if not 0 <= source < depths[name]:
                expected = f"a layer of {name!r} below {depths[name]}"
                raise SpaceError(f"layers: expected {expected}, found {source} for output layer {layer}")
