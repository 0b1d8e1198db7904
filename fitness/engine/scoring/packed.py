"""Runs windows as one trie of tokens through a transformers model: every node once, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import nn

from fitness.engine.model.attention import attending
from fitness.engine.model.forward import device_of, logits_at, without_cache
from fitness.engine.scoring.packing import chunks
from fitness.engine.scoring.readout import Reading, Readout
from fitness.engine.scoring.ready_chunks import ReadyChunk, ReadyChunks
from fitness.engine.scoring.token_trie import TokenTrie, build_trie
from fitness.engine.scoring.tree_attention import KeysAndValues, TreeAttention
from fitness.engine.scoring.windows import Window

_READY = 2**28  # bytes of chunks made ready that a layout keeps; 15,000 five-shot items take less


class PackedLayout:
    """A trie, cut into passes; implements `Layout`. Spots are nodes.

    Args:
        trie: of all windows.
        readout: of its nodes.
        chunk_size: most nodes of a pass.
        most_reads: most nodes of a pass that are read; None: any number.
        multiple: passes are padded to a multiple of so many tokens, for accelerators that like few shapes.
        flex: whether flex_attention runs them.
    """

    def __init__(
        self,
        trie: TokenTrie,
        readout: Readout,
        *,
        chunk_size: int,
        most_reads: int | None = None,
        multiple: int = 1,
        flex: bool = False,
    ) -> None:
        self.trie, self.readout = trie, readout
        self.chunks = chunks(trie, size=chunk_size, read=readout.spots, most_reads=most_reads or chunk_size)
        self.ready = ReadyChunks(trie, readout.spots, multiple=multiple, memory=_READY, flex=flex)

    @classmethod
    def of_windows(cls, windows: Sequence[Window], *, chunk_size: int, multiple: int = 1, flex: bool = False) -> Self:
        """Lay windows out as one trie."""
        trie, nodes = build_trie(
            [np.array(window.inputs, dtype=np.int64) for window in windows],
            [np.array(window.places, dtype=np.int64) for window in windows],
        )
        readout = Readout.of_windows(windows, nodes)
        return cls(trie, readout, chunk_size=chunk_size, multiple=multiple, flex=flex)

    @property
    def n_tokens(self) -> int:
        """How many tokens a run runs."""
        return len(self.trie)

    def run(self, model: nn.Module, reading: Reading) -> None:
        """Run everything (see `Layout.run`)."""
        device = device_of(model)
        kept: dict[int, KeysAndValues] = {}
        for chunk in self.chunks:
            ready = self.ready.of(chunk, device)
            attention = TreeAttention(ready.masks(), ready.keep, kept)
            self.forward(model, ready, attention, reading)
            kept = attention.kept

    def forward(self, model: nn.Module, ready: ReadyChunk, attention: TreeAttention, reading: Reading) -> None:
        """Run one chunk, and record what is read there."""
        with torch.inference_mode(), attending(model, attention):
            logits = logits_at(  # (n_reads, n_vocabulary)
                model, ready.tokens, ready.rows, position_ids=ready.depths, **without_cache(model)
            )
            reading.record(ready.spots, logits)
