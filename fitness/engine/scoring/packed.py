"""Runs windows as one trie of tokens through a transformers model: every node once, without padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from fitness.engine.model.attention import as_index, attending
from fitness.engine.model.forward import device_of, logits_at, without_cache
from fitness.engine.scoring.packing import Chunk, QueryBlock, chunks, run_order
from fitness.engine.scoring.readout import Reading, Readout
from fitness.engine.scoring.token_trie import Ints, TokenTrie, build_trie
from fitness.engine.scoring.windows import Window

# On a CPU small, so that a block sees few keys that are not its own, and larger where nothing branches; on a GPU large,
# so that there are few kernels to launch.
_CPU_BLOCK, _CPU_CHAIN = 64, 256
_GPU_BLOCK = 1024

KeysAndValues = tuple[torch.Tensor, torch.Tensor]


class PackedLayout:
    """Windows as one trie, cut into forward passes; implements `Layout`.

    Args:
        windows: in blocks; the windows of a block are answered when the block has run.
        chunk_size: most nodes of a forward pass.
        multiple: passes are padded to a multiple of so many tokens, for accelerators that like few shapes.

    Attributes:
        trie: what is run.
        chunks: how, one forward pass after the other.
    """

    def __init__(self, windows: Sequence[Sequence[Window]], *, chunk_size: int, multiple: int = 1) -> None:
        flat = [window for block in windows for window in block]
        self.trie, nodes = build_trie(
            [np.array(window.inputs, dtype=np.int64) for window in flat],
            [np.array(window.places, dtype=np.int64) for window in flat],
        )
        first_block = np.full(len(self.trie), len(windows), dtype=np.int64)
        blocks = np.repeat(np.arange(len(windows)), [len(block) for block in windows])
        np.minimum.at(first_block, [places[-1] for places in nodes], blocks)
        order, self.block_ends = run_order(-self.trie.highest(-first_block), n_blocks=len(windows))
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        self.readout = Readout(flat, [place[at] for at in nodes])
        self.chunks = chunks(self.trie, order, self.block_ends, size=chunk_size)
        self._multiple = multiple

    @property
    def n_nodes(self) -> int:
        """How many tokens there are when what is shared counts once."""
        return len(self.trie)

    @property
    def n_tokens(self) -> int:
        """How many tokens one run puts through the model, padding included."""
        return sum(len(self._padded(chunk.nodes)) for chunk in self.chunks)

    def run(self, model: nn.Module, reading: Reading) -> Iterator[int]:
        """Run everything, and yield how far it is after each forward pass (see `Layout.run`)."""
        device = device_of(model)
        kept: dict[int, KeysAndValues] = {}
        for chunk in self.chunks:
            attention = TreeAttention(tree_blocks(self.trie, chunk, device), chunk.keep, kept, device)
            self.forward(model, chunk, attention, reading)
            kept = attention.kept
            yield chunk.stop

    def forward(self, model: nn.Module, chunk: Chunk, attention: TreeAttention, reading: Reading) -> None:
        """Run one chunk, and record what is read there."""
        device = device_of(model)
        spots = self.readout.wanted(chunk.start, chunk.stop)
        nodes = self._padded(chunk.nodes)
        with torch.inference_mode(), attending(model, attention):
            logits = logits_at(
                model,
                torch.from_numpy(self.trie.tokens[nodes])[None].to(device),
                torch.from_numpy(spots - chunk.start).to(device),
                position_ids=torch.from_numpy(self.trie.depths[nodes])[None].to(device),
                **without_cache(model),
            )
            reading.record(spots, logits)

    def _padded(self, nodes: Ints) -> Ints:
        return np.pad(nodes, (0, -len(nodes) % self._multiple), mode="edge") if len(nodes) else nodes


class TreeAttention:
    """Attention of one chunk: each node sees itself and its ancestors, in the chunk and in what is kept before it.

    Args:
        blocks: the chunk's.
        keep: the places whose keys and values later chunks need (see `Chunk`).
        context: layer -> keys and values of the chunk's context.
        device: the model's.

    Attributes:
        kept: layer -> keys and values that later chunks need.
    """

    def __init__(
        self, blocks: Sequence[TreeBlock], keep: Ints, context: Mapping[int, KeysAndValues], device: torch.device
    ) -> None:
        self._blocks = blocks
        self._context = context
        self._keep = torch.from_numpy(keep).to(device)
        self.kept: dict[int, KeysAndValues] = {}

    def __call__(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        scale: float,
        window: int | None,
        softcap: float | None,
    ) -> torch.Tensor:
        """Return the chunk's attention (see `Attend`), and keep what later chunks need."""
        if layer in self._context:
            before = self._context[layer]
            key, value = torch.cat([before[0], key], dim=2), torch.cat([before[1], value], dim=2)
        output = attend_blocks(self._blocks, query, key, value, scale=scale, window=window, softcap=softcap)
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
        self._masks: dict[tuple[int | None, torch.dtype], torch.Tensor] = {}

    def mask(self, window: int | None, dtype: torch.dtype) -> torch.Tensor:
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
    blocks: Sequence[TreeBlock],
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    scale: float,
    window: int | None,
    softcap: float | None,
) -> torch.Tensor:
    """Return a chunk's attention (see `Attend`); keys and values are of its context followed by the chunk itself."""
    output = query.new_zeros(1, query.shape[2], query.shape[1], value.shape[3])
    for block in blocks:
        queries = query[:, :, block.rows]
        keys, values = key[:, :, block.keys], value[:, :, block.keys]
        mask = block.mask(window, query.dtype)
        if softcap is None:
            part = scaled_dot_product_attention(queries, keys, values, mask, scale=scale, enable_gqa=True)
        else:
            part = _capped_attention(queries, keys, values, mask, scale=scale, softcap=softcap)
        output[:, block.rows] = part.transpose(1, 2)
    return output


def _capped_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, *, scale: float, softcap: float
) -> torch.Tensor:
    """Return attention with scores s -> softcap * tanh(s / softcap), as Gemma 2 has it (arXiv 2408.00118)."""
    grouped = query.reshape(1, key.shape[1], -1, *query.shape[2:])
    scores = grouped @ key[:, :, None].transpose(-1, -2) * scale
    scores = softcap * torch.tanh(scores / softcap) + mask[:, :, None]
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(value.dtype)
    return (weights @ value[:, :, None]).flatten(1, 2)
