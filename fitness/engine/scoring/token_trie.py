"""Token sequences as a trie: what sequences have in common is there once.

Nodes are numbered in depth-first order, so that the descendants of a node are the numbers that follow it up to its
`end`: one comparison tells whether a node is an ancestor of another, which is all that a packed attention mask needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class TokenTrie:
    """Nodes, one token each, in depth-first order.

    Attributes:
        tokens: (n_nodes,) token ids.
        depths: (n_nodes,) position of the token in every sequence through the node, from 0.
        parents: (n_nodes,) the node before it, -1 at a root.
        ends: (n_nodes,) one past the last descendant.
    """

    tokens: Ints
    depths: Ints
    parents: Ints
    ends: Ints

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self.tokens)

    def sees(self, nodes: Ints, others: Ints) -> NDArray[np.bool_]:
        """Return (n_nodes, n_others): whether `others[j]` is `nodes[i]` or an ancestor of it."""
        column = nodes[:, None]
        result: NDArray[np.bool_] = (others <= column) & (column < self.ends[others])
        return result

    def highest(self, values: Ints) -> Ints:
        """Return (n_nodes,) the maximum of (n_nodes,) `values` over each node and its descendants."""
        highest = values.copy()
        order = np.argsort(self.depths, kind="stable")
        levels = np.split(order, np.flatnonzero(np.diff(self.depths[order])) + 1) if len(order) else []
        for level in reversed(levels[1:]):
            np.maximum.at(highest, self.parents[level], highest[level])
        return highest


def build_trie(sequences: Sequence[Ints], positions: Sequence[Ints]) -> tuple[TokenTrie, list[Ints]]:
    """Lay sequences out as a trie.

    Args:
        sequences: token ids, each (length,) with length >= 1.
        positions: per sequence, places in it.

    Returns:
        The trie, and per sequence the nodes at its `positions`.
    """
    capacity = sum(map(len, sequences))
    tokens, depths, parents, ends = (np.empty(capacity, dtype=np.int64) for _ in range(4))
    nodes: list[Ints] = [np.empty(0, dtype=np.int64)] * len(sequences)
    path = np.empty(max(map(len, sequences), default=0), dtype=np.int64)
    count = 0
    before: Ints = np.empty(0, dtype=np.int64)
    for i in sorted(range(len(sequences)), key=lambda i: sequences[i].astype(">u4").tobytes()):
        ids = sequences[i]
        shared = _common_prefix(before, ids)
        ends[path[shared : len(before)]] = count
        new = slice(count, count + len(ids) - shared)
        tokens[new], depths[new] = ids[shared:], np.arange(shared, len(ids))
        parents[new] = np.arange(new.start - 1, new.stop - 1)
        if new.stop > new.start:
            parents[new.start] = path[shared - 1] if shared else -1
        path[shared : len(ids)] = np.arange(new.start, new.stop)
        nodes[i] = path[positions[i]]
        before, count = ids, new.stop
    ends[path[: len(before)]] = count
    return TokenTrie(*(array[:count].copy() for array in (tokens, depths, parents, ends))), nodes


def _common_prefix(a: Ints, b: Ints) -> int:
    length = min(len(a), len(b))
    different = np.flatnonzero(a[:length] != b[:length])
    return int(different[0]) if len(different) else length
