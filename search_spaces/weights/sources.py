"""Which tensors a merged model has, and which tensor of which parent each is made from."""

from __future__ import annotations

from search_spaces.errors import SpaceError
from search_spaces.groups import locate, n_layers
from search_spaces.recipe import Recipe
from search_spaces.weights.parents import Checkpoint, Parents


def output_names(recipe: Recipe, parents: Parents) -> list[str]:
    """Return the names of the merged model's tensors: the base's, without a head that repeats the embedding.

    With `Recipe.layers`, output layer k has the tensors of its donor's layer.

    Raises:
        SpaceError: the recipe names other parents, or a layer that a parent does not have.
    """
    parents.check(recipe)
    base = parents[recipe.base]
    names = [name for name in base.names if not (base.tied and name == base.head)]
    if recipe.layers is None:
        return names
    outside = [name for name in names if locate(name).layer is None]
    return outside + [name for k in range(len(recipe.layers)) for name in _layer_names(recipe, parents, k)]


def donor(recipe: Recipe, layer: int | None) -> str:
    """Return the parent that gives an output layer its tensor names, buffers and config: the base where it takes part.

    Raises:
        SpaceError: the recipe has no such layer, or no parent for it.
    """
    if layer is None or recipe.layers is None:
        return recipe.base
    if layer >= len(recipe.layers) or not recipe.layers[layer]:
        raise SpaceError(f"layers: expected a map of parents to layers for output layer {layer}, found none")
    return recipe.base if recipe.base in recipe.layers[layer] else next(iter(recipe.layers[layer]))


def source_name(recipe: Recipe, parents: Parents, name: str, parent: str) -> str:
    """Return the name that a parent's checkpoint has for what an output tensor is made from.

    A tied parent's head is its embedding.

    Raises:
        SpaceError: the parent has no such tensor.
    """
    source = name
    layer = locate(name).layer
    if layer is not None and recipe.layers is not None:
        if parent not in recipe.layers[layer]:
            raise SpaceError(f"layers: expected a layer of parent {parent!r} for output layer {layer}, found none")
        source = with_layer(name, recipe.layers[layer][parent])
    checkpoint = parents[parent]
    if source in checkpoint:
        return source
    if source == parents[recipe.base].head and checkpoint.tied and checkpoint.embedding is not None:
        return checkpoint.embedding
    raise SpaceError(f"parent {parent!r}: expected a tensor {source}, found none in {checkpoint.directory}")


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
    names = [with_layer(tensor, layer) for tensor in checkpoint.names if locate(tensor).layer == source]
    if not names:
        depth = n_layers(checkpoint.names)
        raise SpaceError(f"layers: expected a layer of {name!r} below {depth}, found {source} for output layer {layer}")
    return names
