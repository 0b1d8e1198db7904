"""What layers of live models do besides their weights (window, dense or sparse, ...), and input scales on them."""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from search_spaces.architecture.stacks import stacks_of
from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import build_module
from search_spaces.layers.folding import Folding
from search_spaces.layers.sources import donor
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import locate
from search_spaces.recipes.recipe import Recipe, layer_range

_PLAIN = (bool, int, float, str, type(None))
# Attributes that say where a layer sits, and what changes nothing in a forward pass.
_POSITION = {"layer_idx", "layer_id", "layer_num", "layer_number", "training", "drop_prob"}

# (module within the layer, attribute, its value)
Fact = tuple[str, str, Any]
Behaviour = frozenset[Fact]


def layers_of(module: nn.Module) -> Sequence[nn.Module]:
    """Return the layers of a model's main stack, in order; none if there is no stack."""
    path = main_path(module)
    return [] if path is None else list(module.get_submodule(path).children())


def main_path(module: nn.Module) -> str | None:
    """Return where the list of layers of a model's main stack is; None if there is none.

    A model that is none of transformers' has those that the first number among its weights' names counts.
    """
    if hasattr(module, "config"):
        stacks = stacks_of(module)
        if stacks:
            return stacks[0].path
    for key in module.state_dict():
        if locate(key).layer is not None:
            parts = key.split(".")
            return ".".join(parts[: next(i for i, part in enumerate(parts) if part.isdecimal())])
    return None


def layer_of(key: str, path: str | None) -> int | None:
    """Return the number of the layer that a weight of a live model belongs to; None outside of the layers at `path`."""
    if path is None or not key.startswith(f"{path}."):
        return None
    number = key[len(path) + 1 :].partition(".")[0]
    return int(number) if number.isdecimal() else None


def in_layer(name: str, path: str, layer: int) -> str:
    """Return a layer's weight's name, or that of a checkpoint's tensor in it, as it is in another layer."""
    parts = name.split(".")
    numbers = [i for i, part in enumerate(parts) if part.isdecimal()]
    at = numbers[sum(part.isdecimal() for part in path.split("."))]
    return ".".join([*parts[:at], str(layer), *parts[at + 1 :]])


def behaviour(layer: nn.Module) -> Behaviour:
    """Return everything plain that a layer's modules hold, its position left out.

    Two layers of one architecture with equal behaviour and equal weights are the same function.
    """
    return frozenset(fact for name, module in layer.named_modules() for fact in _facts(name, module))


def behaviours_to_keep(parents: Parents, base: str) -> Callable[[str], list[Behaviour]]:
    """Return parent -> per layer what it has to do as a layer of a model with the base's config.

    That is what not all layers of the parent have in common, and what all layers of the base have in common, which
    another depth may change. How else parents differ is the preflight's to say.
    """

    @lru_cache
    def found(name: str) -> list[Behaviour]:
        return [behaviour(layer) for layer in layers_of(build_module(parents[name]))]

    @lru_cache
    def of_parent(name: str) -> list[Behaviour]:
        others = _common(found(name)) - _common(found(base))
        return [own - others for own in found(name)]

    return of_parent


def _common(found: Sequence[Behaviour]) -> Behaviour:
    return frozenset.intersection(*found) if found else frozenset()


def check_layers_kept(
    recipe: Recipe, layers: Sequence[nn.Module], of_parent: Callable[[str], Sequence[Behaviour]]
) -> None:
    """Do nothing if every output layer acts as the layer that it comes from; see `behaviours_to_keep`."""
    if recipe.layers is None:
        return
    wanted = len(recipe.layers)
    if len(layers) != wanted:
        raise SpaceError(
            f"layers: expected {wanted}, found {len(layers)} in a model with the output's config.json: it cannot say "
            "how many layers this architecture has; keep its depth"
        )
    for k, (layer, sources) in enumerate(zip(layers, recipe.layers, strict=True)):
        name = donor(recipe, k)
        missing = of_parent(name)[sources[name]] - behaviour(layer)
        if missing:
            raise SpaceError(
                f"layers: output {layer_range(k, k + 1)} would not act as the layer it comes from, for this "
                f"architecture's config.json cannot say so ({_difference(missing, layer)}); keep such layers in place"
            )


def check_config_tells(recipe: Recipe, parents: Parents, config_json: Mapping[str, Any]) -> None:
    """Do nothing if a model built from the output's config has layers that act as those they come from."""
    if recipe.layers is not None:
        before = build_module(parents[recipe.base])
        made = build_module(parents[recipe.base], config_json=config_json)
        check_layers_kept(recipe, layers_of(made), behaviours_to_keep(parents, recipe.base))
        _check_rest_kept(before, made)


def _check_rest_kept(before: nn.Module, made: nn.Module) -> None:
    """Do nothing if what lies outside of the layers does not depend on their number."""
    path, after = main_path(before), {key: value.shape for key, value in made.state_dict().items()}
    for key, value in before.state_dict().items():
        if layer_of(key, path) is None and after.get(key) != value.shape:
            raise SpaceError(
                f"layers: expected {key} to be {tuple(value.shape)} with this many layers, too, found "
                f"{tuple(after[key]) if key in after else 'none'}; keep the base's depth"
            )


def _facts(name: str, module: nn.Module) -> Iterator[Fact]:
    yield name, "class", type(module).__qualname__
    for key, value in vars(module).items():
        if key not in _POSITION and not key.startswith("_") and _is_plain(value):
            yield name, key, value
    for key, parameter in module._parameters.items():
        yield name, key, None if parameter is None else tuple(parameter.shape)
    for key, buffer in module._buffers.items():
        if key in module._non_persistent_buffers_set:  # the others are weights
            yield name, key, None if buffer is None else _content(buffer)


def _is_plain(value: Any) -> bool:
    return isinstance(value, _PLAIN) or (isinstance(value, tuple) and all(map(_is_plain, value)))


def _content(buffer: torch.Tensor) -> tuple[object, ...]:
    return (*buffer.shape, repr(float(buffer.double().sum())))


def _difference(missing: Behaviour, layer: nn.Module) -> str:
    module, key, value = min(missing, key=repr)
    found = [fact[2] for fact in behaviour(layer) if fact[:2] == (module, key)]
    return f"{module or 'layer'}: {key} {value!r} would be {found[0]!r}" if found else f"no {module or 'layer'}.{key}"


_EPS = re.compile(r"(^|_)eps(ilon)?$")


def scale_inputs(model: nn.Module, scales: Sequence[float], folding: Folding) -> None:
    """Let each layer of a model multiply the hidden state by its scale, before anything else.

    What norms that read the hidden state add to its variance, their eps, is scaled along: they compute what they would
    without any scale. So the model is, up to rounding, the one whose weights the scales are folded into.
    """
    layers = layers_of(model)
    products = list(itertools.accumulate(scales, operator.mul, initial=1.0))
    for layer, scale, product in zip(layers, scales, products[1:], strict=True):
        _scale_eps((child for name, child in layer.named_children() if not folding.outlets.matches(name)), product)
        if scale != 1.0:
            layer.register_forward_pre_hook(_Scaling(scale), with_kwargs=True)
    _scale_eps(map(model.get_submodule, folding.last_norms), products[-1])


def has_eps(module: nn.Module) -> bool:
    """Return whether a module is a norm with an eps of its own."""
    return any(isinstance(value, float) and _EPS.search(key) for key, value in vars(module).items())


class _Scaling:
    def __init__(self, scale: float) -> None:
        self._scale = scale

    def __call__(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (args[0] * self._scale, *args[1:]), kwargs
        if "hidden_states" not in kwargs:
            raise SpaceError(f"input scales: expected layers that are given a hidden state, found {sorted(kwargs)}")
        return args, {**kwargs, "hidden_states": kwargs["hidden_states"] * self._scale}


def _scale_eps(modules: Iterable[nn.Module], product: float) -> None:
    for module in modules:
        for key, value in vars(module).items():
            if isinstance(value, float) and _EPS.search(key):
                setattr(module, key, value * product**2)
