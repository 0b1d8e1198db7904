"""Where a tensor sits in a model, found from its name alone, and the groups of places that share genes.

There is no table of architectures: in a name such as `model.layers.3.mlp.experts.0.w1.weight` the first number is the
layer (the second counts experts), and words such as "attn" or "mlp" tell what kind of module it belongs to.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast, get_args

from search_spaces.errors import SpaceError
from search_spaces.recipes.rule import ModuleKind, Side, Where

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
    stack: str = ""  # the stack that it belongs to; "" where there is one only, or between stacks


@lru_cache(maxsize=65536)
def locate(name: str) -> Place:
    """Return the place of a tensor, from its name."""
    parts = name.lower().split(".")
    index = next((i for i, part in enumerate(parts) if part.isdecimal()), None)
    if index is None:
        return Place(None, "other", "before" if EMBEDDING.search(name.lower()) else "after")
    return Place(int(parts[index]), module_kind(parts[index + 1 :]))


def module_kind(parts: list[str]) -> ModuleKind:
    """Return what kind of module a tensor belongs to, by the parts of its name after the layer's number, lower case."""
    owner = parts[-2] if len(parts) > 1 else parts[-1]  # the module that owns .weight or .bias
    if NORM.search(owner):
        return "other"
    for kind, pattern in (("attention", ATTENTION), ("mlp", MLP)):
        if any(pattern.search(part) for part in parts):
            return cast(ModuleKind, kind)
    return "other"


def matches(where: Where, name: str, place: Place) -> bool:
    """Return whether a rule's `where` covers an output tensor of that name and place."""
    return covers(where, place) and all(part in name for part in where.contains or ())


def covers(where: Where, place: Place) -> bool:
    """Return whether a `where` covers a place, whatever the tensor there is called."""
    if where.layers is not None and (place.layer is None or not where.layers[0] <= place.layer < where.layers[1]):
        return False
    if where.stack not in (None, place.stack):
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
        stack: the only stack whose tensors have genes, of a model that has several; None: all have, and a block is
            the same share of each one's own depth.
    """

    layer_blocks: int = 1
    modules: tuple[str, ...] = ("attention", "mlp", "other")
    depth: Literal["constant", "linear"] = "constant"
    tensors: tuple[str, ...] = ()
    stack: str | None = None

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
    stack: str = ""  # whose layers these are, of a model that has several

    @property
    def place(self) -> Place:
        """A place where a tensor of the group has exactly the group's values."""
        if self.tensor is not None:
            return locate(self.tensor)
        if self.layers is None:
            return Place(None, "other", "after", self.stack)
        return Place(self.layers[0], "attention" if self.module == "all" else self.module, None, self.stack)


def layout(groups: Groups, n_layers: int, stacks: Mapping[str, int] | None = None) -> list[Group]:
    """Return the groups of a model, by module in the order of `groups.modules`, then by depth; or tensor by tensor.

    Args:
        groups: how tensors share genes.
        n_layers: depth of the main stack.
        stacks: every stack's depth, the main one first; None or one: the model has no other.

    Raises:
        SpaceError: `groups.stack` is none of them, or has fewer layers than there are blocks.
    """
    if groups.tensors:
        return [_of_tensor(name) for name in groups.tensors]
    named = searched_stacks(groups, n_layers, stacks)
    stack, n_layers = next(iter(named.items()))
    if groups.layer_blocks > n_layers:
        raise SpaceError(
            f"groups.layer_blocks: expected at most one per layer ({n_layers}), found {groups.layer_blocks}"
        )
    if groups.depth == "linear" and groups.layer_blocks > 1:
        ranges = [(knot, knot + 1) for knot in knots(n_layers, groups.layer_blocks)]
    else:
        ranges = blocks(n_layers, groups.layer_blocks)
    found: list[Group] = []
    for module in groups.modules:
        kind = cast(ModuleKind | Literal["all"], module)
        own = stack or ""
        found += [Group(kind, None, None, own)] if kind == "other" else [Group(kind, r, None, own) for r in ranges]
    return found


def searched_stacks(groups: Groups, n_layers: int, stacks: Mapping[str, int] | None) -> dict[str | None, int]:
    """Return the stacks that have genes, each with its depth; None names the only one there is."""
    known = stacks or {}
    if groups.stack is not None and known and groups.stack not in known:
        raise SpaceError(f"groups.stack: expected one of {list(known)}, found {groups.stack!r}")
    if len(known) < 2:
        return {None: n_layers}
    return {name: depth for name, depth in known.items() if groups.stack in (None, name)}


def _of_tensor(name: str) -> Group:
    place = locate(name)
    return Group(place.module, None if place.layer is None else (place.layer, place.layer + 1), name)


def blocks(n_layers: int, n_blocks: int) -> list[tuple[int, int]]:
    """Return n_blocks half-open ranges that cover n_layers layers in order, as even as possible.

    Where there are fewer layers than blocks, some are empty.
    """
    edges = [i * n_layers // n_blocks for i in range(n_blocks + 1)]
    return list(itertools.pairwise(edges))


def knots(n_layers: int, n_blocks: int) -> list[int]:
    """Return n_blocks layers nearest to evenly spaced depths; the only knot of one block is layer 0.

    Where there are fewer layers than blocks, some are the same.
    """
    return [round(i * (n_layers - 1) / max(n_blocks - 1, 1)) for i in range(n_blocks)]
