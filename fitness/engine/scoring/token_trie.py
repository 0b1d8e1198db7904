"""Token sequences as a trie: what sequences have in common is there once.

Nodes are numbered in depth-first order, so that the descendants of a node are the numbers that follow it up to its
`end`: one comparison tells whether a node is an ancestor of another, which is all that a packed attention mask needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitness.typing import Bools, Ints


@dataclass(frozen=True)
class TokenTrie:
    """Nodes, one token each, in depth-first order."""

    tokens: Ints  # (n_nodes,) token ids
    depths: Ints  # (n_nodes,) position of the token in every sequence through the node, from 0
    parents: Ints  # (n_nodes,) the node before it, -1 at a root
    ends: Ints  # (n_nodes,) one past the last descendant

    def __len__(self) -> int:
        return len(self.tokens)

    def n_through(self, n_ending: Ints, nodes: Ints) -> Ints:
        """Return (n,) how many paths go through each of (n,) `nodes`, of which (n_nodes,) `n_ending` end at each."""
        # Descendants follow a node up to its end: a difference of running sums counts what ends among them.
        before = np.concatenate([[0], np.cumsum(n_ending)])  # (n_nodes + 1,)
        through: Ints = before[self.ends[nodes]] - before[nodes]
        return through

    def along(self, leaves: Ints) -> tuple[TokenTrie, Ints]:
        """Return the trie of the paths to some nodes alone, and (n_nodes,) each node's number there, if it is there."""
        n_ending = np.bincount(leaves, minlength=len(self))
        needed = self.n_through(n_ending, np.arange(len(self))) > 0  # (n_nodes,)
        before = np.concatenate([[0], np.cumsum(needed)])  # (n_nodes + 1,) how many needed ones precede each
        if before[-1] == len(self):
            return self, before[:-1]
        parents = self.parents[needed]
        return (
            TokenTrie(
                self.tokens[needed],
                self.depths[needed],
                np.where(parents < 0, -1, before[parents]),
                before[self.ends[needed]],
            ),
            before[:-1],
        )

    def paths(self, leaves: Ints) -> list[list[int]]:
        """Return the tokens of the sequence to each of some nodes."""
        lengths = self.depths[leaves] + 1  # (n,)
        result = np.empty((len(leaves), lengths.max(initial=0)), dtype=np.int64)
        rows, nodes = np.arange(len(leaves)), leaves.copy()
        while len(rows):
            result[rows, self.depths[nodes]] = self.tokens[nodes]
            nodes = self.parents[nodes]
            rows, nodes = rows[nodes >= 0], nodes[nodes >= 0]
        return [row[:length].tolist() for row, length in zip(result, lengths, strict=True)]

    def sees(self, nodes: Ints, others: Ints) -> Bools:
        """Return (n_nodes, n_others): whether `others[j]` is `nodes[i]` or an ancestor of it."""
        column = nodes[:, None]  # (n_nodes, 1)
        result: Bools = (others <= column) & (column < self.ends[others])
        return result


def build_trie(sequences: Sequence[NDArray[np.integer]], positions: Sequence[Ints]) -> tuple[TokenTrie, list[Ints]]:
    """Lay sequences of token ids, each (length >= 1,), out as a trie.

    Returns:
        The trie, and per sequence the nodes at its `positions`.
    """
    capacity = sum(map(len, sequences))
    tokens, depths, parents, ends = (np.empty(capacity, dtype=np.int64) for _ in range(4))
    nodes: list[Ints] = [np.empty(0, dtype=np.int64)] * len(sequences)
    path = np.empty(max(map(len, sequences), default=0), dtype=np.int64)  # the current sequence's node at each depth
    count = 0
    before: NDArray[np.integer] = np.empty(0, dtype=np.int64)
    # Big-endian bytes sort as the ids do: what begins alike follows each other, so each node is made once.
    for i in sorted(range(len(sequences)), key=lambda i: sequences[i].astype(">u4").tobytes()):
        ids = sequences[i]
        shared = _common_prefix(before, ids)
        ends[path[shared : len(before)]] = count  # where the last sequence leaves this one, its nodes end
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


def _common_prefix(a: NDArray[np.integer], b: NDArray[np.integer]) -> int:
    length = min(len(a), len(b))
    different = np.flatnonzero(a[:length] != b[:length])
    return int(different[0]) if len(different) else length


def n_common(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many first elements two sequences have in common."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
