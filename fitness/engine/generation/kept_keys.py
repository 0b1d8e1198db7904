"""The keys and values that completions keep between forward passes: what prompts share, and what is one's own."""

from __future__ import annotations

import numpy as np
import torch

from fitness.engine.scoring.tree_attention import KeysAndValues
from fitness.typing import Bools, Ints


class Trunk:
    """Nodes of the prompts' trie that were run and are still needed, side by side in buffers that grow."""

    def __init__(self) -> None:
        self.nodes: Ints = np.empty(0, dtype=np.int64)  # (n_kept,) which they are, ascending
        self.buffers: dict[int, KeysAndValues] = {}

    def by_layer(self) -> dict[int, KeysAndValues]:
        """Return layer -> its keys and values, (1, n_heads, n_kept, d): views of the buffers."""
        n = len(self.nodes)
        return {layer: (keys[:, :, :n], values[:, :, :n]) for layer, (keys, values) in self.buffers.items()}

    def write(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> KeysAndValues:
        """Write keys and values (1, n_heads, n_new, d) behind the kept ones, and return views of both together.

        They are kept from the next pass on if `add` is called with their nodes.
        """
        start, stop = len(self.nodes), len(self.nodes) + key.shape[2]
        known = self.buffers.get(layer, (key[:, :, :0], value[:, :, :0]))
        keys, values = self.buffers[layer] = _with_room(known[0], stop), _with_room(known[1], stop)
        keys[:, :, start:stop], values[:, :, start:stop] = key, value
        return keys[:, :, :stop], values[:, :, :stop]

    def add(self, nodes: Ints) -> None:
        """Keep nodes that every layer has written."""
        if len(nodes):
            self.nodes = np.concatenate([self.nodes, nodes])

    def keep(self, needed: Bools) -> None:
        """Forget the nodes that are not (n_kept,) `needed`; what stands before the first of them stays where it is."""
        if needed.all():
            return
        first = int(needed.argmin())  # the first that is not
        rest = first + np.flatnonzero(needed[first:])
        for buffer in (buffer for layer in self.buffers.values() for buffer in layer):
            moved = buffer.index_select(2, torch.from_numpy(rest).to(buffer.device))
            buffer[:, :, first : first + len(rest)] = moved
        self.nodes = self.nodes[needed]


class Slots:
    """One slot per live completion, live ones first, for the keys and values of the `capacity` tokens that are its own.

    A buffer is (n_slots, n_heads, capacity, d).
    """

    def __init__(self, n_slots: int, capacity: int) -> None:
        self.n_slots = n_slots
        self.capacity = capacity
        self.buffers: dict[int, KeysAndValues] = {}

    def write(self, layer: int, key: torch.Tensor, value: torch.Tensor, places: torch.Tensor) -> KeysAndValues:
        """Write keys and values (1, n_heads, n_live, d) at (n_live,) places, and return views of all in live slots."""
        keys, values = self._layer(layer, key, value)
        slots = torch.arange(len(places), device=key.device)
        # Two index arrays with a slice between them: their axis comes first, so that this is (n_live, n_heads, d).
        keys[slots, :, places], values[slots, :, places] = key[0].transpose(0, 1), value[0].transpose(0, 1)
        return keys[: len(places)], values[: len(places)]

    def load(self, slot: int, trunk: Trunk, places: slice) -> None:
        """Copy consecutive nodes of a trunk to the beginning of a slot."""
        n_tokens = places.stop - places.start
        for layer, (key, value) in trunk.by_layer().items():
            keys, values = self._layer(layer, key, value)
            keys[slot, :, :n_tokens], values[slot, :, :n_tokens] = key[0, :, places], value[0, :, places]

    def move(self, source: int, target: int, n_tokens: int) -> None:
        """Copy the first tokens of a slot to another."""
        for buffer in (buffer for layer in self.buffers.values() for buffer in layer):
            buffer[target, :, :n_tokens] = buffer[source, :, :n_tokens]

    def grow(self, n_slots: int) -> None:
        """Add slots until there are `n_slots`."""
        if n_slots <= self.n_slots:
            return
        for layer, (keys, values) in self.buffers.items():
            n_more = n_slots - len(keys)
            self.buffers[layer] = (
                torch.cat([keys, keys.new_zeros(n_more, *keys.shape[1:])]),
                torch.cat([values, values.new_zeros(n_more, *values.shape[1:])]),
            )
        self.n_slots = n_slots

    def _layer(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> KeysAndValues:
        if layer not in self.buffers:
            # Zeros: what fresh memory holds may be NaN, which times a weight of 0 is still NaN.
            self.buffers[layer] = (
                key.new_zeros(self.n_slots, key.shape[1], self.capacity, key.shape[3]),
                value.new_zeros(self.n_slots, value.shape[1], self.capacity, value.shape[3]),
            )
        return self.buffers[layer]


def _with_room(buffer: torch.Tensor, n_tokens: int) -> torch.Tensor:
    """Return a buffer (1, n_heads, at least n_tokens, d) that begins with what `buffer` holds."""
    if buffer.shape[2] >= n_tokens:
        return buffer
    larger = buffer.new_empty(*buffer.shape[:2], n_tokens + n_tokens // 2, buffer.shape[3])
    larger[:, :, : buffer.shape[2]] = buffer
    return larger


def bytes_per_token(kept: Trunk | Slots) -> int:
    """Return what the keys and values of a token take in all layers; 0 before any is written."""
    buffers = (buffer for layer in kept.buffers.values() for buffer in layer)
    return sum(buffer.shape[1] * buffer.shape[3] * buffer.element_size() for buffer in buffers)
