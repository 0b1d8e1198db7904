"""Parents whose files name, wrap or pack the same weights in another way than the base's, under the base's names.

What a parent's architecture does not have (a vision tower beside a text-only fine-tune, layers that predict further
tokens, old buffers) is the base's: a merge leaves it as it is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from search_spaces.architecture.architecture import Architecture, Stack
from search_spaces.architecture.parts import Part
from search_spaces.architecture.regions import Region
from search_spaces.architecture.slots import Identity, Slot, Slots, slots_of
from search_spaces.parents.checkpoint_files import LazyTensor
from search_spaces.parents.cut_tensor import CutTensor

if TYPE_CHECKING:
    import torch

    from search_spaces.parents.checkpoint import Checkpoint


@dataclass(frozen=True)
class PartOf:
    """One of the tensors that are packed into a larger one."""

    packed: LazyTensor
    part: Part

    @property
    def shape(self) -> tuple[int, ...]:
        """The part's."""
        return self.part.shape

    @property
    def dtype(self) -> torch.dtype:
        """The packed tensor's."""
        return self.packed.dtype

    def read(self) -> torch.Tensor:
        """Return a view of the packed tensor."""
        return self.part.of(self.packed.read().contiguous())


@dataclass(frozen=True)
class Packed:
    """A tensor that another checkpoint keeps in parts."""

    parts: tuple[tuple[Part, LazyTensor], ...]
    shape: tuple[int, ...]

    @property
    def dtype(self) -> torch.dtype:
        """The parts'."""
        return self.parts[0][1].dtype

    def read(self) -> torch.Tensor:
        """Return a new tensor."""
        import torch

        whole = torch.empty(self.shape, dtype=self.dtype)
        for part, tensor in self.parts:
            part.of(whole).copy_(tensor.read())
        return whole


def aligned(checkpoints: Mapping[str, Checkpoint], base: str) -> dict[str, Checkpoint]:
    """Return the parents with tensors named as the base's; one whose names are the base's is left as it is."""
    return {
        name: checkpoint if name == base else _aligned(checkpoint, checkpoints[base])
        for name, checkpoint in checkpoints.items()
    }


def _aligned(checkpoint: Checkpoint, base: Checkpoint) -> Checkpoint:
    same = checkpoint.names == base.names and not base.architecture.unused
    packed = [name for name in base.names if len(base.shape(name)) == 3] if same else []
    same &= all(checkpoint.shape(name) == base.shape(name) for name in packed)
    if same or checkpoint.architecture.guessed or base.architecture.guessed:
        return checkpoint
    own, bases = slots_of(checkpoint.config, checkpoint.names), slots_of(base.config, base.names)
    found = _Found(checkpoint, own)
    tensors: dict[str, LazyTensor] = {}
    for name in base.names:
        slot = bases.of.get(name)
        tensor = found.at(slot, base.shape(name)) if slot is not None else found.named(name)
        if tensor is None and (slot is None or slot.parameter not in own.parameters):
            tensor = base.lazy(name)
        if tensor is not None:
            tensors[name] = tensor
    rest = dict(_others(checkpoint, found, base, bases))
    architecture = _architecture(checkpoint, base, tensors | rest)
    return checkpoint.under_names({**tensors, **rest}, base, architecture)


class _Found:
    """A checkpoint's tensors by where they go."""

    def __init__(self, checkpoint: Checkpoint, slots: Slots) -> None:
        self._checkpoint, self.slots = checkpoint, slots
        self.used: set[str] = set()
        self._at: dict[Identity, list[tuple[str, Part | None]]] = {}
        for name, slot in slots.of.items():
            self._at.setdefault(slot.parameter, []).append((name, slot.part))

    def named(self, name: str) -> LazyTensor | None:
        """Return a tensor by its own name, of those that no module has."""
        if name not in self._checkpoint or name in self.slots.of:
            return None
        self.used.add(name)
        return self._checkpoint.lazy(name)

    def at(self, slot: Slot, shape: tuple[int, ...]) -> LazyTensor | None:
        """Return what goes where a slot is, a part of a packed tensor or put together from parts; None if nothing."""
        held = self._at.get(slot.parameter, [])
        for name, part in held:
            if part == slot.part or _same_elements(part, slot.part):
                self.used.add(name)
                return _turned(self._checkpoint.lazy(name), shape)
        if not held:
            return None
        self.used.update(name for name, _ in held)
        if slot.part is not None and held[0][1] is None:
            return PartOf(self._checkpoint.lazy(held[0][0]), slot.part)
        parts = tuple((part, self._checkpoint.lazy(name)) for name, part in held if part is not None)
        return Packed(parts, shape) if slot.part is None and parts else None


def _turned(tensor: LazyTensor, shape: tuple[int, ...]) -> LazyTensor:
    """Return a tensor; packed experts, which some files keep the other way round, as the base has them."""
    found = tuple(tensor.shape)
    if len(shape) != 3 or found == shape or found != (*shape[:-2], shape[-1], shape[-2]):
        return tensor
    return CutTensor(tensor, Region(tuple(slice(0, size) for size in found), transposed=True))


def _same_elements(one: Part | None, other: Part | None) -> bool:
    if one is None or other is None:
        return False
    return (one.shape, one.strides, one.offset) == (other.shape, other.strides, other.offset)


def _others(checkpoint: Checkpoint, found: _Found, base: Checkpoint, bases: Slots) -> Iterator[tuple[str, LazyTensor]]:
    """Yield what the base does not have: layers beyond its own under the names that they would have there."""
    own = checkpoint.architecture
    layers = {slot.parameter: name for name, slot in bases.of.items() if slot.part is None}
    for name in checkpoint.names:
        if name in found.used:
            continue
        slot, place = found.slots.of.get(name), own.locate(name)
        if slot is not None and place.layer is not None and own.in_main(place):
            first = found.slots.of.get(own.with_layer(name, 0))
            like = None if first is None else layers.get(first.parameter)
            if like is not None:
                yield base.architecture.with_layer(like, place.layer), checkpoint.lazy(name)
                continue
        if name not in base:
            yield name, checkpoint.lazy(name)


def _architecture(checkpoint: Checkpoint, base: Checkpoint, tensors: Mapping[str, LazyTensor]) -> Architecture:
    """Return the base's architecture with what is the parent's own: depths, and whether there is a head."""
    own, theirs = checkpoint.architecture, base.architecture
    head = None
    if own.head is not None:
        head = theirs.head if theirs.head in tensors and theirs.head is not None else own.head
    mine = {stack.name: stack for stack in own.stacks}
    return replace(
        theirs,
        stacks=tuple(_own_depth(stack, mine.get(stack.name)) for stack in theirs.stacks),
        head=head,
        has_head=own.has_head,
        head_level=own.head_level,
        unused=theirs.unused | {name for name in tensors if name in own.unused},
    )


def _own_depth(stack: Stack, own: Stack | None) -> Stack:
    return stack if own is None else replace(stack, depth=own.depth, level=own.level, depth_keys=own.depth_keys)
