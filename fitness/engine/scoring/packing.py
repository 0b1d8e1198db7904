"""How a trie of tokens is run: in chunks, each one forward pass over one row of nodes without padding.

Nodes are run in the trie's own order, depth-first, so that a chunk is a range of node numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fitness.engine.scoring.token_trie import TokenTrie
from fitness.typing import Ints


@dataclass(frozen=True, eq=False)
class QueryBlock:
    """Consecutive nodes of a chunk, and the keys that one of them or more sees.

    Nodes that see a key follow each other: they are the key itself and its descendants.
    """

    start: int  # places in the chunk
    stop: int
    keys: Ints  # (n_keys,) places in the chunk's context followed by the chunk itself
    first: Ints  # (n_keys,) the block's first row that sees each key
    last: Ints  # (n_keys,) one past the last
    depths: Ints  # (stop - start,) of the nodes
    key_depths: Ints  # (n_keys,)


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
        ends, depths = trie.ends[keys], trie.depths[chunk]  # (n_context + n_chunk,), (n_chunk,)
        start = 0
        while start < len(chunk):
            last = min(start + chain_size, len(chunk)) - 1
            is_chain = depths[last] - depths[start] == last - start  # a step to the next node adds 1 at most
            stop = last + 1 if is_chain else min(start + size, len(chunk))
            # No node sees a later one: the keys behind the block need not be looked at.
            needed = np.flatnonzero(ends[: len(self.context) + stop] > chunk[start])  # (n_keys,)
            yield QueryBlock(
                start,
                stop,
                needed,
                first=np.maximum(keys[needed] - chunk[start], 0),
                last=np.minimum(ends[needed] - chunk[start], stop - start),
                depths=depths[start:stop],
                key_depths=trie.depths[keys[needed]],
            )
            start = stop


def chunks(trie: TokenTrie, *, size: int, read: Ints | None = None, most_reads: int = 1) -> list[Chunk]:
    """Cut a trie into forward passes of at most `size` nodes, at most `most_reads` of them among `read`, ascending.

    The keys and values of a node are kept exactly as long as a descendant is still to come.
    """
    result: list[Chunk] = []
    context: Ints = np.empty(0, dtype=np.int64)
    for start, stop in pairwise(_cuts(len(trie), size, np.empty(0, np.int64) if read is None else read, most_reads)):
        known = np.concatenate([context, np.arange(start, stop)])
        keep = np.flatnonzero(trie.ends[known] > stop)  # a node's last descendant stands just before its end
        result.append(Chunk(start, stop, context, keep))
        context = known[keep]
    return result


def _cuts(n_nodes: int, size: int, read: Ints, most_reads: int) -> list[int]:
    """Return where passes begin, and the end: of equal size, as a short last one wastes a pass over the weights."""
    n_passes = max(1, -(-n_nodes // size))
    each, longer = divmod(n_nodes, n_passes)
    cuts = {i * each + min(i, longer) for i in range(n_passes + 1)}
    for start, stop in pairwise(sorted(cuts)):
        here = read[slice(*np.searchsorted(read, [start, stop]))]
        n_parts = -(-len(here) // most_reads)
        cuts |= {int(here[i * len(here) // n_parts]) for i in range(1, n_parts)}
    return sorted(cuts)
