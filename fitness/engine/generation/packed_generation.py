"""Completes prompts without padding: a forward pass runs one token of every live completion and a piece of the prompts.

A completion that ends leaves its slot to the next prompt at once (continuous batching: Yu et al., Orca, OSDI 2022);
what prompts share is run once, and read by all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fitness.engine.generation.decoding import Decoding, Written, extend
from fitness.engine.generation.kept_keys import Slots, Trunk, bytes_per_token
from fitness.engine.generation.live_attention import LiveAttention, LiveGroups, LiveRows
from fitness.engine.generation.prompt_trie import PromptPath, PromptTrie
from fitness.engine.model.attention import AttentionRule, attending
from fitness.engine.model.forward import device_of, logits_at, without_cache
from fitness.engine.model.memory import Completions, Sizes, n_slots
from fitness.engine.model.tokenizer import Tokenizer
from fitness.engine.scoring.packing import Chunk
from fitness.engine.scoring.tree_attention import TreeMasks, tree_blocks
from fitness.typing import Ints

_NOTHING: Ints = np.empty(0, dtype=np.int64)


class PackedCompletions:
    """Completes the prompts of a trie with one model, whose attention can be replaced (see `attending`).

    `trunk` has the keys and values of prompts that have not ended, as far as they have run and no slot has them.
    """

    def __init__(self, model: nn.Module, prompts: PromptTrie, sizes: Sizes, tokenizer: Tokenizer) -> None:
        self._model = model
        self._prompts = prompts
        self._sizes = sizes
        self._tokenizer = tokenizer
        self._device = device_of(model)
        self.trunk = Trunk()
        self._n_run = 0  # nodes
        self._groups: LiveGroups | None = None  # of the last pass
        leaves = np.array([path.leaf for path in prompts.paths if path.leaf >= 0], dtype=np.int64)
        self._n_open = np.bincount(leaves, minlength=len(prompts.trie))  # prompts that have not ended, by leaf
        self._is_moved = np.zeros(len(prompts.trie), dtype=np.bool_)  # nodes that a slot has instead of the trunk

    @torch.inference_mode()
    def written(self) -> list[Written]:
        """Return the completion of each prompt; raises torch.OutOfMemoryError where a forward pass does not fit."""
        completions = [_Completion(path, Decoding(path.prompt, self._tokenizer)) for path in self._prompts.paths]
        waiting = deque(sorted(completions, key=lambda completion: completion.path.ready))
        slots = Slots(1, max((completion.most_own for completion in completions), default=1))
        live: list[_Completion] = []
        self._refill(live, waiting, slots)
        while waiting or live:
            self._run(live, self._next_chunk(len(live), waiting, slots), slots)
            slots.grow(self._n_fitting(slots))
            self._refill(live, waiting, slots)
        return [completion.decoding.written for completion in completions]

    def _refill(self, live: list[_Completion], waiting: deque[_Completion], slots: Slots) -> None:
        """Give the slots of ended completions to prompts that have run, and close the gaps that are left."""
        gaps = [slot for slot, completion in enumerate(live) if completion.decoding.ended]
        for leaf in (live[slot].path.leaf for slot in gaps if live[slot].path.leaf >= 0):
            self._n_open[leaf] -= 1
        while waiting and waiting[0].path.ready <= self._n_run and (gaps or len(live) < slots.n_slots):
            completion = waiting.popleft()
            slot = gaps.pop() if gaps else len(live)
            live[slot : slot + 1] = [completion]
            self._move_to_slot(completion.path, slots, slot)
        for slot in reversed(gaps):
            last = live.pop()
            if slot < len(live):
                live[slot] = last
                slots.move(len(live), slot, last.n_own)
        nodes = self.trunk.nodes
        self.trunk.keep(~self._is_moved[nodes] & (self._prompts.trie.n_through(self._n_open, nodes) > 0))

    def _move_to_slot(self, path: PromptPath, slots: Slots, slot: int) -> None:
        if path.n_own:
            start = int(np.flatnonzero(self.trunk.nodes == path.own_start)[0])
            slots.load(slot, self.trunk, slice(start, start + path.n_own))
            self._is_moved[path.own_start : path.leaf + 1] = True

    def _next_chunk(self, n_live: int, waiting: Sequence[_Completion], slots: Slots) -> Chunk:
        """Return the piece of the prompts to run next: what the next completions need, as far as there is room."""
        n_free = min(slots.n_slots - n_live, len(waiting))
        start = self._n_run
        room = max(0, self._sizes.tokens - n_live)
        stop = max(start, min(start + room, waiting[n_free - 1].path.ready)) if n_free else start
        return Chunk(start, stop, context=self.trunk.nodes, keep=_NOTHING)

    def _run(self, live: Sequence[_Completion], chunk: Chunk, slots: Slots) -> None:
        """Run one forward pass: a row of the live completions' last tokens, then the chunk's."""
        trie = self._prompts.trie
        tokens = [completion.decoding.last_token for completion in live] + trie.tokens[chunk.nodes].tolist()
        positions = [completion.position for completion in live] + trie.depths[chunk.nodes].tolist()
        rows = LiveRows(
            leaves=np.array([completion.path.leaf for completion in live], dtype=np.int64),
            positions=np.array(positions[: len(live)], dtype=np.int64),
            n_own=np.array([completion.n_own for completion in live], dtype=np.int64),
        )
        if self._groups is None or not self._groups.are_of(rows.leaves, self.trunk.nodes):
            self._groups = LiveGroups(rows.leaves, self.trunk.nodes, trie, self._device)
        attention = _PassAttention(
            LiveAttention(rows, self._groups, self.trunk, slots, self._device) if live else None,
            TreeMasks(tree_blocks(trie, chunk, self._device)),
            self.trunk,
            n_live=len(live),
        )
        with attending(self._model, attention):
            logits = logits_at(  # (n_live, n_vocabulary)
                self._model,
                torch.tensor([tokens], device=self._device),
                torch.arange(len(live), device=self._device),
                position_ids=torch.tensor([positions], device=self._device),
                **without_cache(self._model),
            )
        self.trunk.add(chunk.nodes)
        self._n_run = chunk.stop
        if live:
            extend([completion.decoding for completion in live], logits)

    def _n_fitting(self, slots: Slots) -> int:
        """Return how many slots there may be, once a pass has shown what a token takes."""
        paths = self._prompts.paths
        needs = Completions(
            n_prompts=len(paths),
            most_shared=max(path.n_shared for path in paths),
            most_own=max(path.n_own for path in paths),
            capacity=slots.capacity,
        )
        n_bytes = max(bytes_per_token(self.trunk), bytes_per_token(slots))
        return n_slots(self._sizes, needs, bytes_per_token=n_bytes)


@dataclass(frozen=True, eq=False)
class _Completion:
    path: PromptPath
    decoding: Decoding

    @property
    def position(self) -> int:
        return len(self.path.prompt.ids) - 1 + len(self.decoding.ids)

    @property
    def n_own(self) -> int:
        return self.path.n_own + len(self.decoding.ids)

    @property
    def most_own(self) -> int:
        return self.path.n_own + self.path.prompt.max_new_tokens


class _PassAttention:
    """Attention of one forward pass: live completions, then a piece of the prompts' trie."""

    def __init__(self, live: LiveAttention | None, masks: TreeMasks, trunk: Trunk, *, n_live: int) -> None:
        self._live, self._masks, self._trunk, self._n_live = live, masks, trunk, n_live

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule) -> Tensor:
        """Return the attention of all (see `Attend`), and keep keys and values."""
        n, parts = self._n_live, []
        if self._live is not None:
            parts.append(self._live(layer, query[:, :, :n], key[:, :, :n], value[:, :, :n], rule))
        if n < query.shape[2]:
            keys, values = self._trunk.write(layer, key[:, :, n:], value[:, :, n:])
            parts.append(self._masks.attend(query[:, :, n:], keys, values, rule))
        return torch.cat(parts, dim=1)  # (1, n_live + n_chunk, n_heads, d_value)
