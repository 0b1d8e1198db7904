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
from fitness.engine.scoring.readout import Reading, Readout
from fitness.engine.scoring.token_trie import n_common
from fitness.engine.scoring.windows import Tokens, Window
from fitness.errors import FitnessError
from fitness.typing import Ints

_SHORTEST_PREFIX = 16  # tokens; less is not worth a forward pass of its own


@dataclass(frozen=True)
class Batch:
    """Rows of one forward pass."""

    prefix: Tokens  # what stands before every row
    rows: tuple[Tokens, ...]  # token ids after the prefix, longest first
    start: int  # the spots of all its rows, one per token after the prefix
    stop: int

    @property
    def length(self) -> int:
        """How long the longest row is, after the prefix."""
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
    padded with their last token and need no mask. A pass has at most `chunk_size` tokens, padding included, and
    `most_reads` positions that need logits; a longer row is one of its own. A model that shares prefixes keeps keys
    and values.
    """

    def __init__(self, windows: Sequence[Window], *, chunk_size: int, most_reads: int, share_prefix: bool) -> None:
        spot_of: dict[Tokens, tuple[int, int]] = {}  # inputs -> first spot, length of the prefix
        self._batches: list[Batch] = []
        n_spots = n_prefixes = 0
        n_reads: dict[Tokens, int] = {}
        for window in windows:
            n_reads[window.inputs] = max(n_reads.get(window.inputs, 0), len(window.places))
        for prefix, group in _groups(windows, n_reads, share_prefix):
            n_prefixes += len(prefix)
            rows = sorted(group, key=lambda inputs: (-len(inputs), inputs))
            costs = [(len(inputs) - len(prefix), n_reads[inputs]) for inputs in rows]
            for batch in pack(costs, token_budget=chunk_size, position_budget=most_reads):
                start = n_spots
                for i in batch:
                    spot_of[rows[i]] = n_spots, len(prefix)
                    n_spots += costs[i][0]
                members = tuple(rows[i][len(prefix) :] for i in batch)
                self._batches.append(Batch(prefix, members, start, n_spots))
        shifts = [first - n_prefix for first, n_prefix in (spot_of[window.inputs] for window in windows)]
        spots = [np.array(window.places) + shift for window, shift in zip(windows, shifts, strict=True)]
        self.readout = Readout.of_windows(windows, spots)
        self.n_tokens = n_prefixes + n_spots  # padding left out

    def run(self, model: nn.Module, reading: Reading) -> None:
        """Run everything (see `Layout.run`)."""
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


def _cache_of(model: nn.Module, prefix: Tokens) -> Any:
    if not accepts(model, "past_key_values"):
        raise FitnessError("it keeps no keys and values")
    with torch.inference_mode():
        return model(torch.tensor([prefix], device=device_of(model)), use_cache=True).past_key_values


def _arguments(model: nn.Module, cache: Any, batch: Batch) -> dict[str, Any]:
    if cache is None:
        return without_cache(model)
    cache = copy.deepcopy(cache)  # a forward pass appends to it
    cache.batch_repeat_interleave(len(batch.rows))
    shape = len(batch.rows), len(batch.prefix) + batch.length
    mask = torch.ones(shape, dtype=torch.long, device=device_of(model))
    return {"past_key_values": cache, "use_cache": True, "attention_mask": mask}


def _groups(
    windows: Sequence[Window], inputs: dict[Tokens, int], share_prefix: bool
) -> Iterator[tuple[Tokens, list[Tokens]]]:
    """Yield (prefix, inputs that begin with it); no place that is read lies in a prefix."""
    if not share_prefix:
        yield (), list(inputs)
        return
    first_place: dict[Tokens, int] = {}
    for window in windows:
        first_place[window.inputs] = min(window.places[0], first_place.get(window.inputs, len(window.inputs)))
    group: list[Tokens] = []
    shared = 0
    for ids in sorted(inputs):
        common = min(shared, n_common(group[-1], ids), first_place[ids]) if group else first_place[ids]
        if group and common < _SHORTEST_PREFIX <= max(shared, first_place[ids]):
            yield _worth_it(group[0][:shared]), group
            group, common = [], first_place[ids]
        group.append(ids)
        shared = common
    if group:
        yield _worth_it(group[0][:shared]), group


def _worth_it(prefix: Tokens) -> Tokens:
    return prefix if len(prefix) >= _SHORTEST_PREFIX else ()


def pack(costs: Sequence[tuple[int, int]], *, token_budget: int, position_budget: int) -> list[range]:
    """Cut rows into batches, ranges of rows in order; a row that is over a budget alone is a batch of its own.

    Costs are each row's length in tokens, padding counts, and its number of scored positions, each of which yields one
    row of logits; longest rows first.
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
