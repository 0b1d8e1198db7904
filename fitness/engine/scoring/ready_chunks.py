"""What forward passes over the chunks of a trie take besides weights, on the model's device, and made once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fitness.engine.scoring.flex_masks import FlexMasks
from fitness.engine.scoring.packing import Chunk
from fitness.engine.scoring.token_trie import TokenTrie
from fitness.engine.scoring.tree_attention import Masks, TreeBlock, TreeMasks, tree_blocks
from fitness.typing import Ints


@dataclass(frozen=True, eq=False)
class ReadyChunk:
    """One forward pass; nothing in it depends on a model's weights."""

    tokens: Tensor  # (1, n_padded)
    depths: Tensor  # (1, n_padded)
    spots: Ints  # (n_reads,) the nodes that are read
    rows: Tensor  # (n_reads,) their places in the chunk
    keep: Tensor  # (n_keep,) see `Chunk`
    blocks: Sequence[TreeBlock]
    flex: FlexMasks | None  # of the one block, where flex_attention runs it

    def masks(self) -> Masks:
        """Return the chunk's attention for one pass, of one model or several."""
        return self.flex or TreeMasks(self.blocks)

    @property
    def nbytes(self) -> int:
        """What it takes on the device."""
        own = sum(tensor.nbytes for tensor in (self.tokens, self.depths, self.rows, self.keep))
        return own + sum(block.nbytes for block in self.blocks)


class ReadyChunks:
    """The chunks of a layout, made ready for the first model and kept for all others as far as memory goes.

    Args:
        trie: whose nodes are run.
        read: (n_reads,) the nodes that are read, ascending.
        multiple: passes are padded to a multiple of so many tokens.
        memory: most bytes that are kept; what is beyond is made for each model.
        flex: whether flex_attention runs them.
    """

    def __init__(self, trie: TokenTrie, read: Ints, *, multiple: int, memory: int, flex: bool = False) -> None:
        self._trie, self._read, self._multiple, self._flex = trie, read, multiple, flex
        self._left = self._memory = memory
        self._device: torch.device | None = None
        self._ready: dict[int, ReadyChunk] = {}
        self.n_made = 0

    def of(self, chunk: Chunk, device: torch.device) -> ReadyChunk:
        """Return a chunk on a device."""
        if device != self._device:
            self._ready, self._left, self._device = {}, self._memory, device
        ready = self._ready.get(chunk.start) or self._made(chunk, device)
        if chunk.start not in self._ready and ready.nbytes <= self._left:
            self._ready[chunk.start] = ready
            self._left -= ready.nbytes
        return ready

    def _made(self, chunk: Chunk, device: torch.device) -> ReadyChunk:
        self.n_made += 1
        first, last = np.searchsorted(self._read, [chunk.start, chunk.stop])
        spots = self._read[first:last]
        # Copies of the last node: no other sees them, and none of them is read.
        nodes = np.pad(chunk.nodes, (0, -len(chunk.nodes) % self._multiple), mode="edge")
        tokens, depths, rows, keep = (
            torch.from_numpy(np.ascontiguousarray(numbers)).to(device)
            for numbers in (self._trie.tokens[nodes], self._trie.depths[nodes], spots - chunk.start, chunk.keep)
        )
        blocks = tree_blocks(self._trie, chunk, device, whole=self._flex)
        flex = FlexMasks(blocks[0]) if self._flex else None
        return ReadyChunk(tokens[None], depths[None], spots, rows, keep, blocks, flex)
