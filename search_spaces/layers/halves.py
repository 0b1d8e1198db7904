"""Halves of layers, attention and MLP: through which weights each writes to the hidden state, and whether it does.

A layer computes h + attention(norm(h)), then the same with its MLP (or both beside each other). With the weights at
zero through which a half writes, it adds nothing, so that an ordinary checkpoint can be without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import settings
from search_spaces.layers.folding import PROJECTIONS
from search_spaces.layers.layer_behaviour import layers_of
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.recipes.groups import module_kind
from search_spaces.recipes.layer_path import HALVES, Half

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class LiveHalf:
    """A half of a live layer."""

    parameters: tuple[nn.Parameter, ...]  # all that are needed for it alone
    outlets: tuple[nn.Parameter, ...]  # through which it writes, at least one

    @property
    def writes(self) -> bool:
        """Whether it adds anything to the hidden state."""
        return any(bool(outlet.detach().any()) for outlet in self.outlets)


def live_halves(layer: nn.Module) -> tuple[LiveHalf | None, LiveHalf | None]:
    """Return attention and MLP of a layer; None where what a half writes through has names that are not known."""
    found = []
    for kind in HALVES:
        named = [(name, p) for name, p in layer.named_parameters() if module_kind(name.lower().split(".")) == kind]
        outlets = tuple(p for name, p in named if is_outlet(name, kind))
        found.append(LiveHalf(tuple(p for _, p in named), outlets) if outlets else None)
    return found[0], found[1]


def is_outlet(name: str, half: Half) -> bool:
    """Return whether a half writes through the parameter of this name within its layer."""
    parts = name.split(".")
    return module_kind(name.lower().split(".")) == half and any(map(PROJECTIONS.matches, parts))


def half_outlets(base: Checkpoint) -> dict[Half, tuple[str, ...]]:
    """Return half -> the parts of tensors' names through which it writes.

    That they are all is not looked up but tried, on a small model of the architecture.

    Raises:
        SpaceError: models of the architecture cannot be without halves of layers.
    """
    reason = _reason(json.dumps(settings(base), sort_keys=True))
    found: dict[Half, dict[str, None]] = {half: {} for half in HALVES}
    for name in base.names:
        place = base.architecture.locate(name)
        if base.architecture.in_main(place) and place.module in HALVES:
            parts = [part for part in name.split(".") if PROJECTIONS.matches(part)]
            found[place.module] |= dict.fromkeys(parts)
    missing = [half for half, parts in found.items() if not parts]
    if reason or missing:
        kind = base.config.get("model_type")
        why = reason or f"the {missing[0]} of its layers writes through weights of unknown names"
        raise SpaceError(f"halves: layers of {kind} models cannot be without their attention or MLP: {why}")
    return {half: tuple(parts) for half, parts in found.items()}


@lru_cache(maxsize=64)
def _reason(settings_json: str) -> str:
    """Return why layers of a small model of these settings are not without what is at zero; empty where they are."""
    import torch

    from search_spaces.layers.scale_folding import logits_of, small_model

    model: Any = small_model(json.loads(settings_json))
    layers = layers_of(model)
    if not layers or any(half is None for layer in layers for half in live_halves(layer)):
        return "what its halves write through has names that are not known here"
    with torch.no_grad():
        before = logits_of(model)
        for place, half in enumerate(HALVES):
            own = _silent(layers, [place])
            away = [p for layer in layers for p in (live_halves(layer)[place] or _NOTHING).parameters]
            kept = [p.clone() for p in away]
            for p in away:
                p.mul_(1.5)
            moved = logits_of(model)
            for p, value in zip(away, kept, strict=True):
                p.copy_(value)
            silent = logits_of(model)
            _restore(own)
            if not torch.equal(moved, silent) or torch.equal(silent, before):
                return f"the {half} writes through other weights as well"
        both = _silent(layers, range(len(HALVES)))
        same = _keeps_hidden_states(model, layers, logits_of)
        _restore(both)
    return "" if same else "a layer of which nothing is left still changes the hidden state"


_NOTHING = LiveHalf((), ())


def _silent(layers: Sequence[nn.Module], places: Sequence[int]) -> list[tuple[nn.Parameter, Tensor]]:
    """Set what some halves of all layers write through to zero, and return what it was."""
    outlets = [o for layer in layers for place in places for o in (live_halves(layer)[place] or _NOTHING).outlets]
    before = [(outlet, outlet.detach().clone()) for outlet in outlets]
    for outlet in outlets:
        outlet.data.zero_()
    return before


def _restore(before: Sequence[tuple[nn.Parameter, Tensor]]) -> None:
    for outlet, value in before:
        outlet.data.copy_(value)


def _keeps_hidden_states(model: nn.Module, layers: Sequence[nn.Module], run: Any) -> bool:
    import torch

    same: list[bool] = []

    def compare(_: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        entered = args[0] if args else kwargs["hidden_states"]
        same.append(torch.equal(entered, output[0] if isinstance(output, tuple) else output))

    hooks = [layer.register_forward_hook(compare, with_kwargs=True) for layer in layers]
    run(model)
    for hook in hooks:
        hook.remove()
    return bool(same) and all(same)
