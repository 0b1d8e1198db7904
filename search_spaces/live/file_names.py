"""Which tensors of the base's checkpoint a live model's weights are made of, whatever its files call them."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from search_spaces.architecture.parts import Part, checkpoint_parts
from search_spaces.architecture.slots import Identities, Identity, Slot, slots_of
from search_spaces.architecture.stacks import stacks_of
from search_spaces.layers.layer_behaviour import in_layer, layer_of
from search_spaces.parents.checkpoint import Checkpoint


class FileNames:
    """The checkpoint's tensors of each weight of a model; the model may have layers in another number and order."""

    def __init__(self, module: nn.Module, base: Checkpoint) -> None:
        """Ask transformers; of a model type that it does not know, names are those of the module.

        `base` may be any parent that is open under the base's names.
        """
        self._module, self._base = module, base
        self._guessed = bool(base.architecture.guessed) or not hasattr(module, "config")
        stacks = [] if self._guessed else stacks_of(module)
        self._path = stacks[0].path if stacks else None
        self._backbone = stacks[0].backbone if stacks else ""
        self._identities = Identities(module, stacks)
        self._at: dict[Identity, list[tuple[str, Slot]]] = {}
        self._anywhere: dict[Identity, list[tuple[str, Slot]]] = {}
        if not self._guessed:
            self._index()

    def of(self, key: str, weight: Tensor) -> tuple[Part, ...]:
        """Return the tensors, by their names in the checkpoint, and where each lies in a weight."""
        if self._guessed:
            return checkpoint_parts(self._module, [key])[key]
        identity, layer = self._identities.identity(key), layer_of(key, self._path)
        held = self._at.get(identity)
        if held is None and layer is not None:
            architecture = self._base.architecture.stacked
            held = [
                (architecture.with_layer(n, layer), slot) for n, slot in self._anywhere.get(self._first(identity), [])
            ]
        whole = Part("", tuple(weight.shape), weight.stride(), 0)
        return tuple(replace(whole if slot.part is None else slot.part, name=name) for name, slot in held or ())

    def _index(self) -> None:
        architecture = self._base.architecture
        for name, slot in slots_of(self._base.naming, self._base.names).of.items():
            self._at.setdefault(slot.parameter, []).append((name, slot))
        for identity, held in self._at.items():
            place = architecture.locate(held[0][0])
            if self._path is not None and place.layer is not None and architecture.in_main(place):
                self._anywhere.setdefault(self._first(identity), held)

    def _first(self, identity: Identity) -> Identity:
        """Return the same parameter in the first layer."""
        stack, name = identity
        assert self._path is not None
        return stack, in_layer(name, self._path.removeprefix(self._backbone), 0)
