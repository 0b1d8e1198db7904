"""Runs windows as one trie of tokens through a transformers model: every node once, without padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from fitness.engine.model.attention import AttentionRule, as_index, attending
from fitness.engine.model.forward import device_of, logits_at, without_cache
from fitness.engine.scoring.packing import Chunk, QueryBlock, chunks
from fitness.engine.scoring.readout import Reading, Readout
from fitness.engine.scoring.token_trie import TokenTrie, build_trie
from fitness.engine.scoring.windows import Window
from fitness.typing import Ints

# On a CPU small, so that a block sees few keys that are not its own, and larger where nothing branches; on a GPU large,
# so that there are few kernels to launch.
_CPU_BLOCK, _CPU_CHAIN = 64, 256
_GPU_BLOCK = 1024

KeysAndValues = tuple[Tensor, Tensor]


class PackedLayout:
    """Windows as one trie, cut into passes of at most `chunk_size` nodes; implements `Layout`. Spots are nodes.

    Passes are padded to a multiple of so many tokens, for accelerators that like few shapes.
    """

    def __init__(self, windows: Sequence[Window], *, chunk_size: int, multiple: int = 1) -> None:
        self.trie, nodes = build_trie(
            [np.array(window.inputs, dtype=np.int64) for window in windows],
            [np.array(window.places, dtype=np.int64) for window in windows],
        )
        self.readout = Readout(windows, nodes)
        self.chunks = chunks(self.trie, size=chunk_size)
        self._multiple = multiple

    def run(self, model: nn.Module, reading: Reading) -> None:
        """Run everything (see `Layout.run`)."""
        device = device_of(model)
        kept: dict[int, KeysAndValues] = {}
        for chunk in self.chunks:
            attention = TreeAttention(tree_blocks(self.trie, chunk, device), chunk.keep, kept, device)
            self.forward(model, chunk, attention, reading)
            kept = attention.kept

    def forward(self, model: nn.Module, chunk: Chunk, attention: TreeAttention, reading: Reading) -> None:
        """Run one chunk, and record what is read there."""
        device = device_of(model)
        spots = self.readout.wanted(chunk.start, chunk.stop)  # (n_reads,)
        nodes = self._padded(chunk.nodes)  # (n_padded,)
        with torch.inference_mode(), attending(model, attention):
            logits = logits_at(  # (n_reads, n_vocabulary)
                model,
                torch.from_numpy(self.trie.tokens[nodes])[None].to(device),  # (1, n_padded)
                torch.from_numpy(spots - chunk.start).to(device),
                position_ids=torch.from_numpy(self.trie.depths[nodes])[None].to(device),
                **without_cache(model),
            )
            reading.record(spots, logits)

    def _padded(self, nodes: Ints) -> Ints:
        # Copies of the last node: no other sees them, and none of them is read.
        return np.pad(nodes, (0, -len(nodes) % self._multiple), mode="edge")


class TreeAttention:
    """Attention of one chunk: each node sees itself and its ancestors, in the chunk and in what is kept before it."""

    def __init__(
        self, blocks: Sequence[TreeBlock], keep: Ints, context: Mapping[int, KeysAndValues], device: torch.device
    ) -> None:
        self._blocks = blocks
        self._context = context  # layer -> (1, n_key_heads, n_context, d)
        self._keep = torch.from_numpy(keep).to(device)  # (n_keep,) places (see `Chunk`)
        self.kept: dict[int, KeysAndValues] = {}  # layer -> (1, n_key_heads, n_keep, d), what later chunks need

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        """Return the chunk's attention (see `Attend`), and keep what later chunks need."""
        if layer in self._context:
            before = self._context[layer]
            # (1, n_key_heads, n_context + n_chunk, d)
            key, value = torch.cat([before[0], key], dim=2), torch.cat([before[1], value], dim=2)
        output = attend_blocks(self._blocks, query, key, value, rule)
        if len(self._keep):
            self.kept[layer] = key.index_select(2, self._keep), value.index_select(2, self._keep)
        return output


class TreeBlock:
    """A query block on the model's device; its masks are made once for all layers."""

    def __init__(self, block: QueryBlock, device: torch.device) -> None:
        self.rows = slice(block.start, block.stop)
        self.keys = as_index(block.keys, device)
        self._device = device
        self._block = block
        self._masks: dict[tuple[int | None, torch.dtype], Tensor] = {}

    def mask(self, window: int | None, dtype: torch.dtype) -> Tensor:
        """Return (1, 1, n_rows, n_keys), 0 where a key is seen and -inf elsewhere."""
        if window is not None and self._block.distances.max(initial=0) < window:
            window = None
        known = self._masks.get((window, dtype))
        if known is None:
            seen = self._block.seen if window is None else self._block.seen & (self._block.distances < window)
            known = torch.zeros(seen.shape, dtype=dtype).masked_fill_(torch.from_numpy(~seen), -torch.inf)
            known = self._masks[window, dtype] = known.to(self._device)[None, None]
        return known


def tree_blocks(trie: TokenTrie, chunk: Chunk, device: torch.device) -> list[TreeBlock]:
    """Return a chunk's query blocks, as large as is fast on the device."""
    sizes = (_CPU_BLOCK, _CPU_CHAIN) if device.type == "cpu" else (_GPU_BLOCK, _GPU_BLOCK)
    return [TreeBlock(block, device) for block in chunk.query_blocks(trie, *sizes)]


def attend_blocks(
    blocks: Sequence[TreeBlock], query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule
) -> Tensor:
    """Return a chunk's attention (see `Attend`); keys and values are of its context followed by the chunk itself."""
    # Rows of no block are padding: zeros, which nobody reads.
    output = query.new_zeros(1, query.shape[2], query.shape[1], value.shape[3])  # (1, n_padded, n_heads, d_value)
    for block in blocks:
        queries = query[:, :, block.rows]  # (1, n_heads, n_rows, d)
        keys, values = key[:, :, block.keys], value[:, :, block.keys]  # (1, n_key_heads, n_keys, d)
        mask = block.mask(rule.window, query.dtype)  # (1, 1, n_rows, n_keys)
        if rule.softcap is None:
            part = scaled_dot_product_attention(queries, keys, values, mask, scale=rule.scale, enable_gqa=True)
        else:
            part = _capped_attention(queries, keys, values, mask, rule)
        output[:, block.rows] = part.transpose(1, 2)  # (1, n_rows, n_heads, d_value)
    return output


def _capped_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, rule: AttentionRule) -> Tensor:
    # Query heads that share a key head lie side by side: (1, n_key_heads, n_shared, n_rows, d).
    grouped = query.reshape(1, key.shape[1], -1, *query.shape[2:])
    scores = grouped @ key[:, :, None].mT * rule.scale  # (1, n_key_heads, n_shared, n_rows, n_keys)
    scores = rule.capped(scores) + mask[:, :, None]
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(value.dtype)
    return (weights @ value[:, :, None]).flatten(1, 2)  # (1, n_heads, n_rows, d_value)
