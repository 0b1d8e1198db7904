"""How a trie of tokens is run: in chunks, each one forward pass over one row of nodes without padding.

Nodes are run in the trie's own order, depth-first, so that a chunk is a range of node numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fitness.engine.scoring.token_trie import TokenTrie
from fitness.typing import Bools, Ints


@dataclass(frozen=True)
class QueryBlock:
    """Consecutive nodes of a chunk, and the keys that one of them or more sees."""

    start: int  # places in the chunk
    stop: int
    keys: Ints  # (n_keys,) places in the chunk's context followed by the chunk itself
    seen: Bools  # (stop - start, n_keys) which key each node sees
    distances: Ints  # (stop - start, n_keys) how many tokens back each key is; only meaningful where it is seen


@dataclass(frozen=True)
class Chunk:
    """One forward pass: the nodes from `start` to `stop`."""

    start: int
    stop: int
    context: Ints  # (n_context,) nodes of earlier chunks whose keys and values are still kept
    keep: Ints  # places in `context` followed by `nodes` whose keys and values later chunks need

    @property
    def nodes(self) -> Ints:
        """What it runs, (stop - start,)."""
        return np.arange(self.start, self.stop)

    def query_blocks(self, trie: TokenTrie, size: int, chain_size: int) -> Iterator[QueryBlock]:
        """Yield blocks of at most `size` nodes, or `chain_size` where each node is the next one's parent.

        Nodes that follow each other see much the same keys, so that a block's mask is nearly full and the work near
        what the trie needs, while every block is one dense multiplication. In a chain that holds for larger blocks.
        """
        chunk = self.nodes
        keys = np.concatenate([self.context, chunk])  # (n_context + n_chunk,)
        depths = trie.depths[chunk]  # (n_chunk,)
        start = 0
        while start < len(chunk):
            last = min(start + chain_size, len(chunk)) - 1
            is_chain = depths[last] - depths[start] == last - start  # a step to the next node adds 1 at most
            stop = last + 1 if is_chain else min(start + size, len(chunk))
            # No node sees a later one: the keys behind the block need not be looked at.
            seen = trie.sees(chunk[start:stop], keys[: len(self.context) + stop])  # (n_block, n_context + stop)
            needed = np.flatnonzero(seen.any(axis=0))  # (n_keys,)
            distances = depths[start:stop, None] - trie.depths[keys[needed]]  # (n_block, n_keys)
            yield QueryBlock(start, stop, needed, seen[:, needed], distances)
            start = stop


def chunks(trie: TokenTrie, *, size: int) -> list[Chunk]:
    """Cut a trie into forward passes of at most `size` nodes.

    The keys and values of a node are kept exactly as long as a descendant is still to come.
    """
    if not len(trie):
        return []
    result: list[Chunk] = []
    context: Ints = np.empty(0, dtype=np.int64)
    # Of equal size: a short last one would waste a pass over the weights.
    for nodes in np.array_split(np.arange(len(trie)), -(-len(trie) // size)):
        start, stop = int(nodes[0]), int(nodes[-1]) + 1
        known = np.concatenate([context, nodes])
        keep = np.flatnonzero(trie.ends[known] > stop)  # a node's last descendant stands just before its end
        result.append(Chunk(start, stop, context, keep))
        context = known[keep]
    return result
