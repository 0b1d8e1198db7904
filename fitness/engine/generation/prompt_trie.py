"""Prompts as one trie: what they share is run once, what is a prompt's own belongs to its completion.

The last token of a prompt is not in the trie: it is the first that its completion runs, so that logits are only ever
needed of completions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitness.engine.scoring.packing import run_order
from fitness.engine.scoring.token_trie import Ints, TokenTrie, build_trie
from fitness.engine.scoring.windows import Prompt


@dataclass(frozen=True)
class PromptPath:
    """Where a prompt lies in the trie.

    Attributes:
        prompt: whose path it is.
        leaf: the node of its last token but one; -1 where there is none.
        own_start: its first node that no other prompt shares; `leaf + 1` where there is none. The nodes from there to
            the leaf follow each other, in the trie and in the order in which it is run.
        ready: how much of the order has run when the completion can begin.
    """

    prompt: Prompt
    leaf: int
    own_start: int
    ready: int

    @property
    def n_own(self) -> int:
        """How many of its nodes no other prompt shares."""
        return self.leaf + 1 - self.own_start

    @property
    def n_shared(self) -> int:
        """How many of its nodes other prompts share."""
        return len(self.prompt.ids) - 1 - self.n_own


class PromptTrie:
    """The trie of prompts in blocks.

    Args:
        blocks: prompts; those of a block are completed before any of the next.

    Attributes:
        trie: of all tokens but each prompt's last.
        order: nodes in the order in which they are run, the blocks' one after the other.
        blocks: where each prompt lies, in the order given.
    """

    def __init__(self, blocks: Sequence[Sequence[Prompt]]) -> None:
        prompts = [prompt for block in blocks for prompt in block]
        block_of = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
        self.trie, leaves = _trie(prompts)
        has_leaf = leaves >= 0
        first_block = np.full(len(self.trie), len(blocks), dtype=np.int64)
        np.minimum.at(first_block, leaves[has_leaf], block_of[has_leaf])
        self.order, _ = run_order(-self.trie.highest(-first_block), n_blocks=len(blocks))
        place = np.empty_like(self.order)
        place[self.order] = np.arange(len(self.order))
        starts = _own_starts(self.trie, leaves)
        paths = iter(
            PromptPath(prompt, int(leaf), int(start), int(place[leaf]) + 1 if leaf >= 0 else 0)
            for prompt, leaf, start in zip(prompts, leaves, starts, strict=True)
        )
        self.blocks = [[next(paths) for _ in block] for block in blocks]


def n_through(trie: TokenTrie, n_ending: Ints, nodes: Ints) -> Ints:
    """Return (n,) how many paths go through each of `nodes`, of which (n_nodes,) `n_ending` end at each node."""
    before = np.concatenate([[0], np.cumsum(n_ending)])
    through: Ints = before[trie.ends[nodes]] - before[nodes]
    return through


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
    is_shared = n_through(trie, n_ending, np.arange(len(trie))) > 1
    is_first_own = ~is_shared & ((trie.parents < 0) | is_shared[trie.parents])
    # Depth-first numbers: the first own node of a path is the last such node up to its leaf.
    last = np.maximum.accumulate(np.where(is_first_own, np.arange(len(trie)), -1))
    starts: Ints = np.where((leaves < 0) | is_shared[leaves], leaves + 1, last[leaves])
    return starts
