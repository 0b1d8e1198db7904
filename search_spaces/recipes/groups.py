"""Where a tensor sits in a model, found from its name alone, and the groups of places that share genes.

There is no table of architectures: in a name such as `model.layers.3.mlp.experts.0.w1.weight` the first number is the
layer (the second counts experts), and words such as "attn" or "mlp" tell what kind of module it belongs to.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast, get_args

from search_spaces.errors import SpaceError
from search_spaces.recipes.recipe import ModuleKind, Side, Where

# Each pattern is searched in the dot-separated parts of a lower-case name, after the layer's number.
NORM = re.compile(r"norm|^ln_|^ln\d|layernorm")
ATTENTION = re.compile(r"attn|attention|(^|_)att(_|$)")
MLP = re.compile(
    r"mlp|moe|expert|feed_?forward|(^|_)ffn?(_|$)|^fc(_|\d|$)|^(intermediate|output)$|dense|gate|router"
    r"|(^|_)w[123]$|(up|down)_proj"
)
# Tensors outside the layers that come before them; GPT-NeoX calls its head embed_out.
EMBEDDING = re.compile(r"embed(?!_out)|(^|\.)w[tp]e(\.|$)")


@dataclass(frozen=True)
class Place:
    """Where a tensor sits."""

    layer: int | None  # the index of its block, or None outside the layers
    module: ModuleKind  # attention and mlp exist inside layers only; norms, embeddings and the head are "other"
    side: Side | None = None  # outside the layers, before or after them; None inside


@lru_cache(maxsize=65536)
def locate(name: str) -> Place:
    """Return the place of a tensor, from its name."""
    parts = name.lower().split(".")
    index = next((i for i, part in enumerate(parts) if part.isdecimal()), None)
    if index is None:
        return Place(None, "other", "before" if EMBEDDING.search(name.lower()) else "after")
    return Place(int(parts[index]), _module_kind(parts[index + 1 :]))


def _module_kind(parts: list[str]) -> ModuleKind:
    owner = parts[-2] if len(parts) > 1 else parts[-1]  # the module that owns .weight or .bias
    if NORM.search(owner):
        return "other"
    for kind, pattern in (("attention", ATTENTION), ("mlp", MLP)):
        if any(pattern.search(part) for part in parts):
            return cast(ModuleKind, kind)
    return "other"


def matches(where: Where, name: str) -> bool:
    """Return whether a rule's `where` covers an output tensor."""
    return covers(where, locate(name)) and all(part in name for part in where.contains or ())


def covers(where: Where, place: Place) -> bool:
    """Return whether a `where` covers a place, whatever the tensor there is called."""
    if where.layers is not None and (place.layer is None or not where.layers[0] <= place.layer < where.layers[1]):
        return False
    return where.module in (None, place.module) and where.side in (None, place.side)


def n_layers(names: Iterable[str]) -> int:
    """Return how many layers a model with these tensor names has; 0 when none is numbered."""
    return 1 + max((place.layer for place in map(locate, names) if place.layer is not None), default=-1)


@dataclass(frozen=True)
class Groups:
    """How a model's tensors share genes.

    Attributes:
        layer_blocks: how many runs of layers have genes of their own; need not divide the depth.
        modules: which kinds of modules have genes of their own: any of attention, mlp (one group per block each) and
            other (one group: all norms, the embeddings and the head); what is not listed stays the base's. Or
            ("all",): one group per block, whatever the module; embeddings go with the first, the head with the last.
            Or ("tensor",): one group per tensor of `tensors`, whatever its block.
        depth: "constant": a gene holds for its block. "linear": each block is a knot, knots lie on the layers nearest
            to evenly spaced depths from the first layer to the last, and layers between take the straight line.
        tensors: names of the model's tensors, with ("tensor",) only.
    """

    layer_blocks: int = 1
    modules: tuple[str, ...] = ("attention", "mlp", "other")
    depth: Literal["constant", "linear"] = "constant"
    tensors: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        kinds = get_args(ModuleKind)
        if self.layer_blocks < 1:
            raise SpaceError(f"groups.layer_blocks: expected at least 1, found {self.layer_blocks}")
        unknown = set(self.modules) - set(kinds)
        if (self.modules == ("tensor",)) != bool(self.tensors):
            raise SpaceError(
                f"groups.tensors: expected names with modules [tensor] and none without, found {len(self.tensors)}"
            )
        if self.modules not in (("all",), ("tensor",)) and (
            not self.modules or unknown or len(set(self.modules)) < len(self.modules)
        ):
            raise SpaceError(
                f"groups.modules: expected [all], [tensor] or some of {list(kinds)}, each once, "
                f"found {list(self.modules)}"
            )
        if self.depth not in ("constant", "linear"):
            raise SpaceError(f"groups.depth: expected constant or linear, found {self.depth!r}")


@dataclass(frozen=True)
class Group:
    """Tensors that share genes."""

    module: ModuleKind | Literal["all"]  # the kind of module, or "all"
    # half-open range of layers; with linear depth and several knots the knot's layer alone; None for "other", which
    # spans the whole depth
    layers: tuple[int, int] | None
    tensor: str | None = None  # the only one of its group; None where groups hold what lies together

    @property
    def place(self) -> Place:
        """A place where a tensor of the group has exactly the group's values."""
        if self.tensor is not None:
            return locate(self.tensor)
        if self.layers is None:
            return Place(None, "other", "after")
        return Place(self.layers[0], "attention" if self.module == "all" else self.module)


def layout(groups: Groups, n_layers: int) -> list[Group]:
    """Return the groups of a model, by module in the order of `groups.modules`, then by depth; or tensor by tensor."""
    if groups.tensors:
        return [_of_tensor(name) for name in groups.tensors]
    if groups.depth == "linear" and groups.layer_blocks > 1:
        ranges = [(knot, knot + 1) for knot in knots(n_layers, groups.layer_blocks)]
    else:
        ranges = blocks(n_layers, groups.layer_blocks)
    found: list[Group] = []
    for module in groups.modules:
        kind = cast(ModuleKind | Literal["all"], module)
        found += [Group(kind, None)] if kind == "other" else [Group(kind, layers) for layers in ranges]
    return found


def _of_tensor(name: str) -> Group:
    place = locate(name)
    return Group(place.module, None if place.layer is None else (place.layer, place.layer + 1), name)


def blocks(n_layers: int, n_blocks: int) -> list[tuple[int, int]]:
    """Return n_blocks half-open ranges that cover n_layers layers in order, as even as possible."""
    if n_blocks > n_layers:
        raise SpaceError(f"groups.layer_blocks: expected at most one per layer ({n_layers}), found {n_blocks}")
    edges = [i * n_layers // n_blocks for i in range(n_blocks + 1)]
    return list(itertools.pairwise(edges))


def knots(n_layers: int, n_blocks: int) -> list[int]:
    """Return n_blocks distinct layers nearest to evenly spaced depths; the only knot of one block is layer 0."""
    if n_blocks > n_layers:
        raise SpaceError(f"groups.layer_blocks: expected at most one per layer ({n_layers}), found {n_blocks}")
    return [round(i * (n_layers - 1) / max(n_blocks - 1, 1)) for i in range(n_blocks)]


@dataclass(frozen=True)
class Span:
    """Output tensors that one rule makes, and the groups whose values it has."""

    where: Where
    left: int  # a group
    right: int  # the next knot where depth is linear, else the same group
    share: float = 0.0  # how far the tensors lie from the left knot to the right one, in [0, 1)


def spans(groups: Groups, laid: Sequence[Group], n_layers: int) -> Iterator[Span]:
    """Yield the rules' places, kind of module by kind: one per block, or one per layer where depth is linear.

    Of tensors the longest names come first: a name may be part of another, and the first rule that matches counts.
    """
    if groups.tensors:
        for i, group in sorted(enumerate(laid), key=lambda numbered: -len(numbered[1].tensor or "")):
            yield Span(Where(contains=(group.tensor or "",)), i, i)
        return
    for module in groups.modules:
        own = [i for i, group in enumerate(laid) if group.module == module]
        if module == "other":
            yield Span(Where(module="other"), own[0], own[0])
            continue
        kind = None if module == "all" else laid[own[0]].place.module
        ranges = [laid[i].layers or (0, n_layers) for i in own]
        if groups.depth == "constant" or len(own) == 1:
            yield from (Span(Where(layers, kind), i, i) for layers, i in zip(ranges, own, strict=True))
        else:
            knots = [first for first, _ in ranges]
            for layer in range(n_layers):
                at = min(bisect.bisect_right(knots, layer), len(knots) - 1)
                share = (layer - knots[at - 1]) / (knots[at] - knots[at - 1])
                first = own[at - 1] if share < 1.0 else own[at]
                yield Span(Where((layer, layer + 1), kind), first, own[at], share % 1.0)
        if module == "all":
            yield Span(Where(side="before"), own[0], own[0])
            yield Span(Where(side="after"), own[-1], own[-1])
