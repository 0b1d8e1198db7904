"""Which tensors a merged model has, and which tensor of which parent each is made from."""

from __future__ import annotations

from search_spaces.architecture.architecture import Architecture
from search_spaces.errors import SpaceError, did_you_mean
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
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
    places = base.architecture
    outside = [name for name in names if name not in places.unused and not places.in_main(places.locate(name))]
    return outside + [name for k in range(len(recipe.layers)) for name in _layer_names(recipe, parents, k)]


def output_architecture(recipe: Recipe, parents: Parents) -> Architecture:
    """Return the architecture of the merged model: the base's, in which output layer k is a layer like any other."""
    architecture = parents[recipe.base].architecture
    return architecture if recipe.layers is None else architecture.stacked


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
    architecture = output_architecture(recipe, parents)
    place = architecture.locate(name)
    if place.layer is not None and recipe.layers is not None and architecture.in_main(place):
        if parent not in recipe.layers[place.layer]:
            raise SpaceError(
                f"layers: expected a layer of parent {parent!r} for output layer {place.layer}, found none"
            )
        source = architecture.with_layer(name, recipe.layers[place.layer][parent])
    checkpoint = parents[parent]
    if source in checkpoint:
        return source
    raise SpaceError(f"parent {parent!r}: expected a tensor {source}, found none in {checkpoint.directory}")


def unmatched_filters(recipe: Recipe, parents: Parents) -> list[str]:
    """Return the parts of names that rules ask for and no tensor of the parents has: their rules make nothing.

    Raises:
        SpaceError: such a part is nearly one that there is.
    """
    names = {name for checkpoint in parents.checkpoints.values() for name in checkpoint.names} | {_TIED_HEAD}
    asked = dict.fromkeys(part for rule in recipe.rules for part in rule.where.contains or ())
    unmatched = [part for part in asked if not any(part in name for name in names)]
    if unmatched:
        known = {part for name in names for part in name.split(".") if not part.isdecimal()}
        for part in unmatched:
            hint = did_you_mean(part, known)
            if hint:
                raise SpaceError(
                    f"filter: expected a part of some tensor's name, found {part!r}, which is in none ({hint})"
                )
    return unmatched


def _layer_names(recipe: Recipe, parents: Parents, layer: int) -> list[str]:
    name = donor(recipe, layer)
    checkpoint: Checkpoint = parents[name]
    assert recipe.layers is not None
    source = recipe.layers[layer][name]
    own = checkpoint.architecture
    return [
        own.with_layer(tensor, layer)
        for tensor in checkpoint.names
        if own.locate(tensor).layer == source and own.in_main(own.locate(tensor))
    ]


def _check_layers(recipe: Recipe, parents: Parents) -> None:
    depths = {name: parents[name].architecture.depth for name in recipe.parents}
    for layer, sources in enumerate(recipe.layers or ()):
        for name, source in sources.items():
            if not 0 <= source < depths[name]:
                expected = f"a layer of {name!r} below {depths[name]}" if depths[name] else f"layers in {name!r}"
                raise SpaceError(f"layers: expected {expected}, found {source} for output layer {layer}")
