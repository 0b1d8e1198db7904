"""Input scales on the layers of a live model."""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from search_spaces.errors import SpaceError
from search_spaces.layers.folding import Folding
from search_spaces.layers.layer_behaviour import layers_of

_EPS = re.compile(r"(^|_)eps(ilon)?$")


def scale_inputs(model: nn.Module, scales: Sequence[float], folding: Folding) -> None:
    """Let each layer of a model multiply the hidden state by its scale, before anything else.

    What norms that read the hidden state add to its variance, their eps, is scaled along: they compute what they would
    without any scale. So the model is, up to rounding, the one whose weights the scales are folded into.

    Args:
        model: changed in place.
        scales: one per layer.
        folding: how the architecture's scales are folded; norms among the outlets read no hidden state.
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
    """A hook that multiplies what a layer is given first."""

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
