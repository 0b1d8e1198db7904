"""Attention of live completions, one token each: over what prompts share, kept once, and over what is their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fitness.engine.generation.kept_keys import Slots, Trunk
from fitness.engine.model.attention import AttentionRule, as_index
from fitness.engine.scoring.token_trie import TokenTrie
from fitness.typing import Bools, Ints

_MOST_UNSEEN = 64  # keys that a completion may share with its group beside as many as it sees: cheaper than a group


@dataclass(frozen=True)
class LiveRows:
    """The live completions of a forward pass, in the order of their slots."""

    leaves: Ints  # (n_live,) the last node of each prompt's path, -1 where it has none
    positions: Ints  # (n_live,) of the tokens that are run
    n_own: Ints  # (n_live,) how many tokens each slot holds before the pass

    def __len__(self) -> int:
        return len(self.leaves)


class LiveGroups:
    """Which live completions see which of the trunk's nodes, on the device: until one ends or another begins."""

    def __init__(self, leaves: Ints, nodes: Ints, trie: TokenTrie, device: torch.device) -> None:
        self._leaves, self._nodes = leaves, nodes
        seen = trie.sees(leaves, nodes)  # (n_live, n_kept)
        depths = trie.depths[nodes]  # (n_kept,)
        self.groups = [
            _Group(members, keys, seen[np.ix_(members, keys)], depths[keys], device)
            for members, keys in _groups(seen, np.argsort(leaves, kind="stable"))
        ]

    def are_of(self, leaves: Ints, nodes: Ints) -> bool:
        """Say whether these are the groups of completions with these leaves over a trunk of these nodes."""
        return np.array_equal(leaves, self._leaves) and np.array_equal(nodes, self._nodes)


class LiveAttention:
    """Attention of one token per live completion: the shared keys of several completions are one dense product.

    The trunk has the nodes that several completions see, the slots what is each one's own.
    """

    def __init__(self, rows: LiveRows, groups: LiveGroups, trunk: Trunk, slots: Slots, device: torch.device) -> None:
        self._trunk, self._slots = trunk.by_layer(), slots
        self._groups = groups.groups
        # One copy to the device: positions, and how many tokens each slot holds.
        self._positions, self._places = torch.from_numpy(np.stack([rows.positions, rows.n_own])).to(device)
        self._longest = int(rows.n_own.max(initial=0)) + 1
        own = torch.arange(self._longest, device=device)
        self._own_distances = self._places[:, None] - own  # (n_live, n_own), below 0 where a slot is empty
        self._masks: dict[tuple[int, int | None, torch.dtype], Tensor] = {}

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        """Return the completions' attention (see `Attend`), and keep the new keys and values."""
        own_keys, own_values = (
            own[:, :, : self._longest] for own in self._slots.write(layer, key, value, self._places)
        )
        shared_keys, shared_values = self._trunk.get(layer, (key[:, :, :0], value[:, :, :0]))
        # Query heads that share a key head lie side by side: (n_live, n_key_heads, n_queries, d).
        queries = (query[0] * rule.scale).reshape(key.shape[1], -1, *query.shape[2:]).permute(2, 0, 1, 3)
        own_scores = queries @ own_keys.mT  # (n_live, n_key_heads, n_queries, n_own)
        output = query.new_empty(len(self._places), *queries.shape[1:3], value.shape[3])
        for place, group in enumerate(self._groups):
            keys, values = group.select(shared_keys), group.select(shared_values)  # (n_key_heads, n_shared, d)
            # (n_rows, n_key_heads, n_queries, n_shared + n_own)
            scores = rule.capped(torch.cat([_times(queries[group.rows], keys.mT), own_scores[group.rows]], dim=-1))
            scores = scores + self._mask(place, rule.window, scores.dtype)
            weights = scores.softmax(dim=-1, dtype=torch.float32).to(value.dtype)
            n_shared = keys.shape[1]
            own_part = weights[..., n_shared:] @ own_values[group.rows]
            output[group.rows] = own_part + _times(weights[..., :n_shared], values)
        return output.flatten(1, 2)[None]  # (1, n_live, n_heads, d_value)

    def _mask(self, place: int, window: int | None, dtype: torch.dtype) -> Tensor:
        """Return (n_rows, 1, 1, n_shared + n_own) of a group, 0 where a key is seen and -inf elsewhere."""
        if (place, window, dtype) not in self._masks:
            group, own = self._groups[place], self._own_distances[self._groups[place].rows]
            shared, mine = group.seen, own >= 0
            if window is not None:
                shared = shared & (self._positions[group.rows][:, None] - group.depths < window)
                mine = mine & (own < window)
            seen = torch.cat([shared, mine], dim=1)
            mask = torch.full(seen.shape, -torch.inf, dtype=dtype, device=seen.device).masked_fill_(seen, 0.0)
            self._masks[place, window, dtype] = mask[:, None, None]
        return self._masks[place, window, dtype]


class _Group:
    """Completions that see much the same nodes."""

    def __init__(self, rows: Ints, keys: Ints, seen: Bools, depths: Ints, device: torch.device) -> None:
        self.rows = as_index(rows, device)  # (n_rows,) which completions
        self._keys = as_index(keys, device)  # (n_shared,) places in the trunk that one of them or more sees
        self.seen = torch.from_numpy(seen).to(device)  # (n_rows, n_shared) which shared key each sees
        self.depths = torch.from_numpy(depths).to(device)  # (n_shared,) of the shared keys

    def select(self, shared: Tensor) -> Tensor:
        """Return (n_key_heads, n_shared, d) of (1, n_key_heads, n_kept, d): a view where they lie side by side."""
        return shared[0, :, self._keys]


def _groups(seen: Bools, order: Ints) -> Iterator[tuple[Ints, Ints]]:
    """Yield (rows, keys that one of them sees): rows that follow each other in `order`, and see most of the keys."""
    n_seen = seen.sum(axis=1)
    start = total = 0
    union = np.zeros(seen.shape[1], dtype=np.bool_)
    for i, row in enumerate(order):
        total += n_seen[row]
        joined = union | seen[row]
        mean = total / (i + 1 - start)
        if joined.sum() > 2 * mean + _MOST_UNSEEN:
            yield np.sort(order[start:i]), np.flatnonzero(union)
            start, total, joined = i, n_seen[row], seen[row]
        union = joined
    if len(order):
        yield np.sort(order[start:]), np.flatnonzero(union)


def _times(left: Tensor, right: Tensor) -> Tensor:
    """Return (n_rows, n_heads, n, b) of (n_rows, n_heads, n, a) and (n_heads, a, b), one product per head."""
    product: Tensor = left.transpose(0, 1).flatten(1, 2) @ right
    return product.reshape(left.shape[1], left.shape[0], left.shape[2], -1).transpose(0, 1)
