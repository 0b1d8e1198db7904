"""Prompts as one trie: what they share is run once, what is a prompt's own belongs to its completion.

The last token of a prompt is not in the trie: it is the first that its completion runs, so that logits are only ever
needed of completions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitness.engine.scoring.token_trie import TokenTrie, build_trie
from fitness.engine.scoring.windows import Prompt
from fitness.typing import Ints


@dataclass(frozen=True)
class PromptPath:
    """Where a prompt lies in the trie, whose nodes are run in their own, depth-first order."""

    prompt: Prompt
    leaf: int  # the node of its last token but one; -1 where there is none
    own_start: int  # its first node that no other prompt shares, the rest follow; leaf + 1 where there is none

    @property
    def ready(self) -> int:
        """How many nodes have run when the completion can begin."""
        return self.leaf + 1

    @property
    def n_own(self) -> int:
        """How many of its nodes no other prompt shares."""
        return self.leaf + 1 - self.own_start

    @property
    def n_shared(self) -> int:
        """How many of its nodes other prompts share."""
        return len(self.prompt.ids) - 1 - self.n_own


class PromptTrie:
    """The trie of all tokens but each prompt's last, and the prompts' paths in the order given."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        self.trie, leaves = _trie(prompts)
        starts = _own_starts(self.trie, leaves)
        self.paths = [
            PromptPath(prompt, int(leaf), int(start))
            for prompt, leaf, start in zip(prompts, leaves, starts, strict=True)
        ]


def _trie(prompts: Sequence[Prompt]) -> tuple[TokenTrie, Ints]:
    """Return the trie of the prompts without their last tokens, and each one's last node."""
    beginnings = [np.array(prompt.ids[:-1], dtype=np.int64) for prompt in prompts]
    longer = [i for i, ids in enumerate(beginnings) if len(ids)]
    trie, nodes = build_trie([beginnings[i] for i in longer], [np.array([len(beginnings[i]) - 1]) for i in longer])
    leaves = np.full(len(prompts), -1, dtype=np.int64)
    leaves[longer] = [at[0] for at in nodes]
    return trie, leaves


def _own_starts(trie: TokenTrie, leaves: Ints) -> Ints:
    """Return (n_prompts,) where each prompt's own nodes begin."""
    if not len(trie):
        return leaves + 1
    n_ending = np.bincount(leaves[leaves >= 0], minlength=len(trie))
    is_shared = trie.n_through(n_ending, np.arange(len(trie))) > 1  # (n_nodes,)
    is_first_own = ~is_shared & ((trie.parents < 0) | is_shared[trie.parents])
    # Depth-first numbers: the first own node of a path is the last such node up to its leaf.
    last = np.maximum.accumulate(np.where(is_first_own, np.arange(len(trie)), -1))
    starts: Ints = np.where((leaves < 0) | is_shared[leaves], leaves + 1, last[leaves])
    return starts
