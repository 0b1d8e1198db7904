"""The keys and values that completions keep between forward passes: what prompts share, and what is one's own."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fitness.engine.scoring.token_trie import Ints

KeysAndValues = tuple[torch.Tensor, torch.Tensor]


class Trunk:
    """Nodes of the prompts' trie that were run and are still needed, side by side in buffers that grow.

    Attributes:
        nodes: (n_kept,) which they are, each after its ancestors.
    """

    def __init__(self) -> None:
        self.nodes: Ints = np.empty(0, dtype=np.int64)
        self._buffers: dict[int, KeysAndValues] = {}

    def by_layer(self) -> dict[int, KeysAndValues]:
        """Return layer -> its keys and values, (1, n_heads, n_kept, d): views of the buffers."""
        n = len(self.nodes)
        return {layer: (keys[:, :, :n], values[:, :, :n]) for layer, (keys, values) in self._buffers.items()}

    def write(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> KeysAndValues:
        """Write keys and values (1, n_heads, n_new, d) behind the kept ones, and return views of both together.

        They are kept from the next pass on if `add` is called with their nodes.
        """
        start, stop = len(self.nodes), len(self.nodes) + key.shape[2]
        known = self._buffers.get(layer, (key[:, :, :0], value[:, :, :0]))
        keys, values = self._buffers[layer] = _with_room(known[0], stop), _with_room(known[1], stop)
        keys[:, :, start:stop], values[:, :, start:stop] = key, value
        return keys[:, :, :stop], values[:, :, :stop]

    def add(self, nodes: Ints) -> None:
        """Keep nodes that every layer has written."""
        self.nodes = np.concatenate([self.nodes, nodes])

    def keep(self, needed: NDArray[np.bool_]) -> None:
        """Forget the nodes that are not (n_kept,) `needed`; what stands before the first of them stays where it is."""
        if needed.all():
            return
        first = int(needed.argmin())
        rest = first + np.flatnonzero(needed[first:])
        for buffer in (buffer for layer in self._buffers.values() for buffer in layer):
            moved = buffer.index_select(2, torch.from_numpy(rest).to(buffer.device))
            buffer[:, :, first : first + len(rest)] = moved
        self.nodes = self.nodes[needed]

    @property
    def bytes_per_token(self) -> int:
        """What the keys and values of a node take in all layers; 0 before any is written."""
        return _bytes_per_token(self._buffers)


class Slots:
    """One slot per live completion, for the keys and values of the tokens that are its own.

    Args:
        n_slots: how many there are; the live ones come first.
        capacity: most tokens of one.
    """

    def __init__(self, n_slots: int, capacity: int) -> None:
        self.n_slots = n_slots
        self.capacity = capacity
        self._buffers: dict[int, KeysAndValues] = {}

    def write(self, layer: int, key: torch.Tensor, value: torch.Tensor, places: torch.Tensor) -> KeysAndValues:
        """Write one token into each live slot, and return views (n_live, n_heads, capacity, d) of all.

        Args:
            layer: the layer's index.
            key: (1, n_heads, n_live, d).
            value: (1, n_heads, n_live, d_value).
            places: (n_live,) how many tokens each slot holds before.
        """
        keys, values = self._layer(layer, key, value)
        slots = torch.arange(len(places), device=key.device)
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
        for buffer in (buffer for layer in self._buffers.values() for buffer in layer):
            buffer[target, :, :n_tokens] = buffer[source, :, :n_tokens]

    def grow(self, n_slots: int) -> None:
        """Add slots until there are `n_slots`."""
        if n_slots <= self.n_slots:
            return
        for layer, (keys, values) in self._buffers.items():
            n_more = n_slots - len(keys)
            self._buffers[layer] = (
                torch.cat([keys, keys.new_zeros(n_more, *keys.shape[1:])]),
                torch.cat([values, values.new_zeros(n_more, *values.shape[1:])]),
            )
        self.n_slots = n_slots

    @property
    def bytes_per_token(self) -> int:
        """What the keys and values of a token take in all layers; 0 before any is written."""
        return _bytes_per_token(self._buffers)

    def _layer(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> KeysAndValues:
        if layer not in self._buffers:
            # Zeros: what fresh memory holds may be NaN, which times a weight of 0 is still NaN.
            self._buffers[layer] = (
                key.new_zeros(self.n_slots, key.shape[1], self.capacity, key.shape[3]),
                value.new_zeros(self.n_slots, value.shape[1], self.capacity, value.shape[3]),
            )
        return self._buffers[layer]


def _with_room(buffer: torch.Tensor, n_tokens: int) -> torch.Tensor:
    """Return a buffer (1, n_heads, at least n_tokens, d) that begins with what `buffer` holds."""
    if buffer.shape[2] >= n_tokens:
        return buffer
    larger = buffer.new_empty(*buffer.shape[:2], n_tokens + n_tokens // 2, buffer.shape[3])
    larger[:, :, : buffer.shape[2]] = buffer
    return larger


def _bytes_per_token(buffers: dict[int, KeysAndValues]) -> int:
    return sum(
        buffer.shape[1] * buffer.shape[3] * buffer.element_size() for layer in buffers.values() for buffer in layer
    )
