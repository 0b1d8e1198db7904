"""How a trie of tokens is run: in chunks, each one forward pass over one row of nodes without padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitness.engine.scoring.token_trie import Ints, TokenTrie


@dataclass(frozen=True)
class QueryBlock:
    """Consecutive nodes of a chunk, and the keys that one of them or more sees.

    Attributes:
        start, stop: places in the chunk.
        keys: places in the chunk's context followed by the chunk itself.
        seen: (stop - start, len(keys)) which key each node sees.
        distances: (stop - start, len(keys)) how many tokens back each key is; only meaningful where it is seen.
    """

    start: int
    stop: int
    keys: Ints
    seen: NDArray[np.bool_]
    distances: Ints


@dataclass(frozen=True)
class Chunk:
    """One forward pass.

    Attributes:
        start, stop: its places in the order of the whole run.
        nodes: (n,) what it runs.
        context: nodes of earlier chunks whose keys and values are still kept.
        keep: places in `context` followed by `nodes` whose keys and values later chunks need.
    """

    start: int
    stop: int
    nodes: Ints
    context: Ints
    keep: Ints

    def query_blocks(self, trie: TokenTrie, size: int, chain_size: int) -> Iterator[QueryBlock]:
        """Yield blocks of at most `size` nodes, or `chain_size` where each node is the next one's parent.

        Nodes that follow each other see much the same keys, so that a block's mask is nearly full and the work near
        what the trie needs, while every block is one dense multiplication. In a chain that holds for larger blocks.
        """
        keys = np.concatenate([self.context, self.nodes])
        depths = trie.depths[self.nodes]
        start = 0
        while start < len(self.nodes):
            last = min(start + chain_size, len(self.nodes)) - 1
            is_chain = depths[last] - depths[start] == last - start  # a step to the next node adds 1 at most
            stop = last + 1 if is_chain else min(start + size, len(self.nodes))
            nodes = self.nodes[start:stop]
            seen = trie.sees(nodes, keys[: len(self.context) + stop])
            needed = np.flatnonzero(seen.any(axis=0))
            distances = depths[start:stop, None] - trie.depths[keys[needed]]
            yield QueryBlock(start, stop, needed, seen[:, needed], distances)
            start = stop


def run_order(first_block: Ints, *, n_blocks: int) -> tuple[Ints, list[int]]:
    """Return the order in which nodes are run, and where each block of it ends.

    Args:
        first_block: (n_nodes,) the block in which each node is first needed; an ancestor's is at most its descendants'.
        n_blocks: how many there are.
    """
    order = np.argsort(first_block, kind="stable")
    return order, np.searchsorted(first_block[order], np.arange(n_blocks), side="right").tolist()


def chunks(trie: TokenTrie, order: Ints, block_ends: Sequence[int], *, size: int) -> list[Chunk]:
    """Cut a run into forward passes of at most `size` nodes, none across the end of a block.

    The keys and values of a node are kept exactly as long as a descendant is still to come.
    """
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    last_use = trie.highest(place)
    result: list[Chunk] = []
    context: Ints = np.empty(0, dtype=np.int64)
    start = 0
    for block_end in block_ends:
        while start < block_end:
            # Chunks of equal size in each block: a short last one would waste a pass over the weights.
            n_left = block_end - start
            stop = start + -(-n_left // -(-n_left // size))
            nodes = order[start:stop]
            known = np.concatenate([context, nodes])
            keep = np.flatnonzero(last_use[known] >= stop)
            result.append(Chunk(start, stop, nodes, context, keep))
            context = known[keep]
            start = stop
    return result
