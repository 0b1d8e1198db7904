"""What a checkpoint's tensors are: which stack and layer each belongs to, the embedding, the head, what is unused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from search_spaces.architecture.whole import Needs
from search_spaces.recipes.groups import Place, locate, module_kind
from search_spaces.recipes.rule import Side

TEXT = "text"


@dataclass(frozen=True)
class Stack:
    """Layers that follow each other.

    Attributes:
        name: "text", "vision", "audio"; of an encoder-decoder "encoder" and "decoder". A second one of a name is called
            as its settings are: "qformer".
        depth: how many layers there are.
        prefixes: what names of its layers' tensors begin with in the checkpoint, up to the layer's number.
        level: the keys that lead to its settings in config.json; () is the top.
        depth_keys: settings there that say its depth.
        path: of its list of layers in the live module; "" where the architecture was guessed.
        backbone: what names of its own tensors begin with in the live module, the layers' and what lies around them.
    """

    name: str
    depth: int
    prefixes: tuple[str, ...] = ()
    level: tuple[str, ...] = ()
    depth_keys: tuple[str, ...] = ()
    path: str = ""
    backbone: str = ""


@dataclass(frozen=True)
class Architecture:
    """One checkpoint's architecture.

    Attributes:
        stacks: the main one first: the text's, of an encoder-decoder the decoder's; empty where no name has a number.
        embedding: the tensor with the token embedding, (vocabulary, width); None if there is none.
        head: the tensor with the output head over the vocabulary; None if the file holds none.
        has_head: whether the architecture has one, in the file or tied to the embedding.
        head_level: the keys that lead to the settings of the model with the head in config.json; () is the top.
        keys: tensor -> the live module's parameter that it is, or is a part of; unused ones have none.
        outside: tensor outside of all layers -> its place.
        unused: tensors that the architecture's module does not have.
        needs: what its module needs of the tensors; None where the module is not known.
        guessed: why all this is a guess from names; "" where transformers was asked.
    """

    stacks: tuple[Stack, ...]
    embedding: str | None = None
    head: str | None = None
    has_head: bool = False
    head_level: tuple[str, ...] = ()
    keys: Mapping[str, str] = field(default_factory=dict)
    outside: Mapping[str, Place] = field(default_factory=dict)
    unused: frozenset[str] = frozenset()
    needs: Needs | None = None
    guessed: str = ""

    @property
    def main(self) -> Stack | None:
        """The stack that slices and layer flow speak of."""
        return self.stacks[0] if self.stacks else None

    @property
    def depth(self) -> int:
        """How many layers the main stack has; 0 without one."""
        return self.stacks[0].depth if self.stacks else 0

    @property
    def depths(self) -> dict[str, int]:
        """Stack -> its depth, the main one first."""
        return {stack.name: stack.depth for stack in self.stacks}

    @cached_property
    def stacked(self) -> Architecture:
        """The same of a model whose layers are others: what it does not use is no part of it."""
        return replace(self, unused=frozenset())

    def locate(self, name: str) -> Place:
        """Return where a tensor sits, by its name in the checkpoint."""
        known = self._located.get(name)
        if known is None:
            known = self._located[name] = self._locate(name)
        return known

    @cached_property
    def _located(self) -> dict[str, Place]:
        return {}

    @cached_property
    def _prefixes(self) -> list[tuple[str, str]]:
        """(prefix, stack), the longest first: a prefix may be the beginning of another."""
        found = [(prefix, stack.name) for stack in self.stacks for prefix in stack.prefixes]
        return sorted(found, key=lambda pair: -len(pair[0]))

    def _locate(self, name: str) -> Place:
        if self.guessed:
            return locate(name)
        if name in self.unused:
            return Place(None, "other", "after", "")
        for prefix, stack in self._prefixes:
            if name.startswith(prefix):
                number, _, rest = name[len(prefix) :].partition(".")
                if number.isdecimal() and rest:
                    return Place(int(number), module_kind(rest.lower().split(".")), None, stack)
        known = self.outside.get(name)
        return known if known is not None else replace(locate(name), layer=None, module="other", side=_side(name))

    def with_layer(self, name: str, layer: int) -> str:
        """Return the name that a tensor of a layer has in another layer of its stack."""
        if self.guessed:
            parts = name.split(".")
            index = next(i for i, part in enumerate(parts) if part.isdecimal())
            return ".".join([*parts[:index], str(layer), *parts[index + 1 :]])
        prefix = next(prefix for prefix, _ in self._prefixes if name.startswith(prefix))
        return f"{prefix}{layer}.{name[len(prefix) :].partition('.')[2]}"

    def anywhere(self, name: str) -> str:
        """Return the name that a tensor has in its stack's first layer; its own outside of layers."""
        return name if self.locate(name).layer is None else self.with_layer(name, 0)

    def in_main(self, place: Place) -> bool:
        """Return whether a place is in a layer of the main stack."""
        return place.layer is not None and self.of_main(place)

    def of_main(self, place: Place) -> bool:
        """Return whether a place belongs to the main stack: in a layer of it, or around them."""
        return len(self.stacks) < 2 or place.stack == self.stacks[0].name


def _side(name: str) -> Side:
    found = locate(name).side
    return "after" if found is None else found


def guess(names: Iterable[str], shapes: Mapping[str, tuple[int, ...]], rows: int | None, why: str) -> Architecture:
    """Return what names and shapes tell.

    Args:
        names: of all tensors.
        shapes: of the same.
        rows: of the vocabulary, as the config says; None if it does not.
        why: transformers could not be asked.
    """
    known = list(names)
    places = {name: locate(name) for name in known}
    depth = 1 + max((place.layer for place in places.values() if place.layer is not None), default=-1)
    matrices = [name for name in known if len(shapes[name]) == 2]
    tables = {side: [name for name in matrices if places[name].side == side] for side in ("before", "after")}
    alike = {shapes[name] for name in tables["before"]}
    head = next((name for name in tables["after"] if shapes[name] in alike), None)
    if head is not None:
        embedding = next((name for name in tables["before"] if shapes[name] == shapes[head]), None)
    else:
        named = (name for name in tables["before"] if shapes[name][0] == rows)
        embedding = next(named, max(tables["before"], key=lambda name: shapes[name][0], default=None))
    stacks = (Stack(TEXT, depth),) if depth else ()
    return Architecture(stacks, embedding, head, has_head=True, guessed=why)
