"""Runs windows as padded rows, after a common prefix that is run once where the model can keep it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import nn

from fitness.engine.model.forward import accepts, device_of, logits_at, without_cache
from fitness.engine.scoring.readout import Ints, Reading, Readout
from fitness.engine.scoring.windows import Tokens, Window
from fitness.errors import FitnessError

_SHORTEST_PREFIX = 16  # tokens; less is not worth a forward pass of its own


@dataclass(frozen=True)
class _Batch:
    """One forward pass over rows that are padded on the right.

    Attributes:
        prefix: what stands before every row.
        rows: token ids after the prefix, longest first.
        start, stop: the spots of all its rows, one per token after the prefix.
    """

    prefix: Tokens
    rows: tuple[Tokens, ...]
    start: int
    stop: int

    @property
    def length(self) -> int:
        return len(self.rows[0])

    def flat_positions(self, spots: Ints) -> Ints:
        """Return the places of spots in the flattened, padded batch."""
        starts = self.start + np.cumsum([0, *map(len, self.rows)])
        row = np.searchsorted(starts, spots, side="right") - 1
        flat: Ints = row * self.length + spots - starts[row]
        return flat


class RowLayout:
    """Windows as padded rows; implements `Layout`.

    Windows of equal inputs share a row. A causal model's outputs do not depend on what follows, so that rows are
    padded with their last token and need no mask.

    Args:
        windows: in blocks.
        chunk_size: most tokens of a forward pass, padding included; a longer row is one of its own.
        most_reads: most positions of a forward pass that need logits.
        share_prefix: run common prefixes once; the model must keep keys and values.
    """

    def __init__(
        self, windows: Sequence[Sequence[Window]], *, chunk_size: int, most_reads: int, share_prefix: bool
    ) -> None:
        spot_of: dict[Tokens, tuple[int, int]] = {}  # inputs -> first spot, length of the prefix
        self._batches: list[_Batch] = []
        self.block_ends: list[int] = []
        n_spots = 0
        for block in windows:
            n_reads: dict[Tokens, int] = {}
            for window in block:
                if window.inputs not in spot_of:
                    n_reads[window.inputs] = max(n_reads.get(window.inputs, 0), len(window.places))
            for prefix, group in _groups(block, n_reads, share_prefix):
                rows = sorted(group, key=lambda inputs: (-len(inputs), inputs))
                costs = [(len(inputs) - len(prefix), n_reads[inputs]) for inputs in rows]
                for batch in pack(costs, token_budget=chunk_size, position_budget=most_reads):
                    start = n_spots
                    for i in batch:
                        spot_of[rows[i]] = n_spots, len(prefix)
                        n_spots += costs[i][0]
                    members = tuple(rows[i][len(prefix) :] for i in batch)
                    self._batches.append(_Batch(prefix, members, start, n_spots))
            self.block_ends.append(n_spots)
        flat = [window for block in windows for window in block]
        self.readout = Readout(flat, [_spots(window, *spot_of[window.inputs]) for window in flat])

    @property
    def n_tokens(self) -> int:
        """How many tokens one run puts through the model, padding included."""
        prefixes = sum(len(prefix) for prefix, _ in groupby(batch.prefix for batch in self._batches))
        return prefixes + sum(batch.length * len(batch.rows) for batch in self._batches)

    def run(self, model: nn.Module, reading: Reading) -> Iterator[int]:
        """Run everything, and yield how far it is after each forward pass (see `Layout.run`)."""
        device = device_of(model)
        for prefix, batches in groupby(self._batches, key=lambda batch: batch.prefix):
            cache = _cache_of(model, prefix) if prefix else None
            for batch in batches:
                spots = self.readout.wanted(batch.start, batch.stop)
                positions = torch.from_numpy(batch.flat_positions(spots)).to(device)
                ids = torch.tensor([[*row, *row[-1:] * (batch.length - len(row))] for row in batch.rows], device=device)
                with torch.inference_mode():
                    logits = logits_at(model, ids, positions, **_arguments(model, cache, batch))
                    reading.record(spots, logits)
                yield batch.stop


def _cache_of(model: nn.Module, prefix: Tokens) -> Any:
    if not accepts(model, "past_key_values"):
        raise FitnessError("it keeps no keys and values")
    with torch.inference_mode():
        return model(torch.tensor([prefix], device=device_of(model)), use_cache=True).past_key_values


def _arguments(model: nn.Module, cache: Any, batch: _Batch) -> dict[str, Any]:
    if cache is None:
        return without_cache(model)
    cache = copy.deepcopy(cache)  # a forward pass appends to it
    cache.batch_repeat_interleave(len(batch.rows))
    shape = len(batch.rows), len(batch.prefix) + batch.length
    mask = torch.ones(shape, dtype=torch.long, device=device_of(model))
    return {"past_key_values": cache, "use_cache": True, "attention_mask": mask}


def _groups(
    block: Sequence[Window], inputs: dict[Tokens, int], share_prefix: bool
) -> Iterator[tuple[Tokens, list[Tokens]]]:
    """Yield (prefix, inputs that begin with it); no place that is read lies in a prefix."""
    if not share_prefix:
        yield (), list(inputs)
        return
    first_place: dict[Tokens, int] = {}
    for window in block:
        first_place[window.inputs] = min(window.places[0], first_place.get(window.inputs, len(window.inputs)))
    group: list[Tokens] = []
    shared = 0
    for ids in sorted(inputs):
        common = min(shared, _n_common(group[-1], ids), first_place[ids]) if group else first_place[ids]
        if group and common < _SHORTEST_PREFIX <= max(shared, first_place[ids]):
            yield _worth_it(group[0][:shared]), group
            group, common = [], first_place[ids]
        group.append(ids)
        shared = common
    if group:
        yield _worth_it(group[0][:shared]), group


def _worth_it(prefix: Tokens) -> Tokens:
    return prefix if len(prefix) >= _SHORTEST_PREFIX else ()


def _n_common(a: Tokens, b: Tokens) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _spots(window: Window, first_spot: int, n_prefix: int) -> Ints:
    return np.array(window.places, dtype=np.int64) - n_prefix + first_spot


def pack(costs: Sequence[tuple[int, int]], *, token_budget: int, position_budget: int) -> list[range]:
    """Cut a sequence of rows into consecutive batches.

    Args:
        costs: per row, its length in tokens and its number of scored positions; longest rows first.
        token_budget: most tokens of a batch, padding included.
        position_budget: most scored positions of a batch (each yields one row of logits).

    Returns:
        Ranges of rows, in order; a row that is over a budget alone is a batch of its own.
    """
    batches: list[range] = []
    start, positions, longest = 0, 0, 0
    for row, (length, scored) in enumerate(costs):
        n_rows = row - start + 1
        too_many = max(longest, length) * n_rows > token_budget or positions + scored > position_budget
        if too_many and n_rows > 1:
            batches.append(range(start, row))
            start, positions, longest = row, 0, 0
        positions += scored
        longest = max(longest, length)
    if costs:
        batches.append(range(start, len(costs)))
    return batches
