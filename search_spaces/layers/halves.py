"""Halves of layers, attention and MLP: through which weights each writes to the hidden state, and whether it does.

A layer computes h + attention(norm(h)), then the same with its MLP (or both beside each other). With the weights at
zero through which a half writes, it adds nothing, so that an ordinary checkpoint can be without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from search_spaces.layers.folding import PROJECTIONS
from search_spaces.recipes.groups import module_kind

if TYPE_CHECKING:
    from torch import nn

Half = Literal["attention", "mlp"]
HALVES: tuple[Half, ...] = get_args(Half)


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
