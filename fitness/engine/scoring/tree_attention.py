"""Attention over a chunk of a trie: a node sees itself and its ancestors, in the chunk and in what is kept before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fitness.engine.model.attention import AttentionRule, as_index
from fitness.engine.scoring.packing import Chunk, QueryBlock
from fitness.engine.scoring.token_trie import TokenTrie
from fitness.typing import Ints

# On a CPU small, so that a block sees few keys that are not its own, and larger where nothing branches; on a GPU large,
# so that there are few kernels to launch.
_CPU_BLOCK, _CPU_CHAIN = 64, 256
_GPU_BLOCK = 1024

KeysAndValues = tuple[Tensor, Tensor]


class TreeBlock:
    """A query block on the model's device, a few numbers for each key: its mask is made of them there."""

    def __init__(self, block: QueryBlock, device: torch.device) -> None:
        self.rows = slice(block.start, block.stop)
        self.device = device
        self.n_rows, self.n_keys = block.stop - block.start, len(block.keys)
        # Of large tasks there are millions of these numbers, and all are kept: each takes as few bytes as it can.
        places = as_index(block.keys, torch.device("cpu"))
        self._places = places if isinstance(places, slice) else _packed(block.keys, device)
        self._first, self._last = _packed(np.stack([block.first, block.last]), device)  # (n_keys,) each
        self._depths = _packed(block.depths, device)  # (n_rows,)
        self._key_depths = _packed(block.key_depths, device)  # (n_keys,)
        self._widest = int(block.depths.max() - block.key_depths.min(initial=0))

    @property
    def keys(self) -> slice | Tensor:
        """The places of the keys, as an index."""
        return self._places if isinstance(self._places, slice) else self._places.long()

    @property
    def nbytes(self) -> int:
        """What it takes on the device."""
        own = (self._places, self._first, self._last, self._depths, self._key_depths)
        return sum(numbers.nbytes for numbers in own if isinstance(numbers, Tensor))

    def narrowed(self, window: int | None) -> int | None:
        """Return a window of so many tokens, or None where it hides nothing here."""
        return window if window is not None and self._widest >= window else None

    def sees(self, window: int | None = None) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """Return which key a row sees, as flex_attention asks: of a batch, a head, a row, and a key."""
        first, last, depths, key_depths = self._first, self._last, self._depths, self._key_depths

        def mask(_: Tensor, __: Tensor, row: Tensor, key: Tensor) -> Tensor:
            seen: Tensor = (first[key] <= row) & (row < last[key])
            return seen if window is None else seen & (depths[row] - key_depths[key] < window)

        return mask

    def seen(self, window: int | None = None) -> Tensor:
        """Return (n_rows, n_keys): which keys each row sees."""
        rows = torch.arange(self.n_rows, dtype=self._last.dtype, device=self.device)[:, None]
        seen: Tensor = (self._first <= rows) & (rows < self._last)
        return seen if window is None else seen & (self._depths[:, None] - self._key_depths < window)


class Masks(Protocol):
    """Attention of a chunk of a trie."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        """Return a chunk's attention (see `Attend`); keys and values are of its context and the chunk itself."""
        ...


class TreeMasks:
    """The blocks of one forward pass; a mask is made for the first layer that needs it, and is gone with the pass."""

    def __init__(self, blocks: Sequence[TreeBlock]) -> None:
        self._blocks = blocks
        self._keys = [block.keys for block in blocks]
        self._masks: dict[tuple[int, int | None, torch.dtype], Tensor] = {}

    def attend(self, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        """Return a chunk's attention (see `Attend`); keys and values are of its context and the chunk itself."""
        # Rows of no block are padding: zeros, which nobody reads.
        output = query.new_zeros(1, query.shape[2], query.shape[1], value.shape[3])  # (1, n_padded, n_heads, d_value)
        for place, block in enumerate(self._blocks):
            queries = query[:, :, block.rows]  # (1, n_heads, n_rows, d)
            keys, values = key[:, :, self._keys[place]], value[:, :, self._keys[place]]  # (1, n_key_heads, n_keys, d)
            mask = self._mask(place, rule.window, query.dtype)  # (1, 1, n_rows, n_keys)
            if rule.softcap is None:
                part = scaled_dot_product_attention(queries, keys, values, mask, scale=rule.scale, enable_gqa=True)
            else:
                part = _capped_attention(queries, keys, values, mask, rule)
            output[:, block.rows] = part.transpose(1, 2)  # (1, n_rows, n_heads, d_value)
        return output

    def _mask(self, place: int, window: int | None, dtype: torch.dtype) -> Tensor:
        """Return (1, 1, n_rows, n_keys), 0 where a key is seen and -inf elsewhere."""
        key = place, self._blocks[place].narrowed(window), dtype
        if key not in self._masks:
            seen = self._blocks[place].seen(key[1])
            hidden = torch.full(seen.shape, -torch.inf, dtype=dtype, device=seen.device)
            self._masks[key] = hidden.masked_fill_(seen, 0.0)[None, None]
        return self._masks[key]


class TreeAttention:
    """Attention of one chunk, which keeps what later chunks need."""

    def __init__(self, masks: Masks, keep: Tensor, context: Mapping[int, KeysAndValues]) -> None:
        self._masks = masks
        self._context = context  # layer -> (1, n_key_heads, n_context, d)
        self._keep = keep  # (n_keep,) places (see `Chunk`)
        self.kept: dict[int, KeysAndValues] = {}  # layer -> (1, n_key_heads, n_keep, d), what later chunks need

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        """Return the chunk's attention (see `Attend`), and keep what later chunks need."""
        if layer in self._context:
            before = self._context[layer]
            # (1, n_key_heads, n_context + n_chunk, d)
            key, value = torch.cat([before[0], key], dim=2), torch.cat([before[1], value], dim=2)
        output = self._masks.attend(query, key, value, rule)
        if len(self._keep):
            self.kept[layer] = key.index_select(2, self._keep), value.index_select(2, self._keep)
        return output


def tree_blocks(trie: TokenTrie, chunk: Chunk, device: torch.device, *, whole: bool = False) -> list[TreeBlock]:
    """Return a chunk's query blocks, as large as is fast on the device; `whole`: the chunk as one."""
    if whole:
        return [TreeBlock(block, device) for block in chunk.query_blocks(trie, len(chunk.nodes), len(chunk.nodes))]
    sizes = (_CPU_BLOCK, _CPU_CHAIN) if device.type == "cpu" else (_GPU_BLOCK, _GPU_BLOCK)
    return [TreeBlock(block, device) for block in chunk.query_blocks(trie, *sizes)]


def _packed(numbers: Ints, device: torch.device) -> Tensor:
    """Return numbers of at least 0 in the smallest signed type that holds them, so that they can be subtracted."""
    return torch.from_numpy(numbers.astype(np.min_scalar_type(-1 - int(numbers.max(initial=0))))).to(device)


def _capped_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, rule: AttentionRule) -> Tensor:
    # Query heads that share a key head lie side by side: (1, n_key_heads, n_shared, n_rows, d).
    grouped = query.reshape(1, key.shape[1], -1, *query.shape[2:])
    scores = grouped @ key[:, :, None].mT * rule.scale  # (1, n_key_heads, n_shared, n_rows, n_keys)
    scores = rule.capped(scores) + mask[:, :, None]
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(value.dtype)
    return (weights @ value[:, :, None]).flatten(1, 2)  # (1, n_heads, n_rows, d_value)
