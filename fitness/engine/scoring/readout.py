"""What is read off a model's logits, wherever in a forward pass they are computed.

An engine lays windows out over its forward passes; a *spot* is a place in that layout, numbered in the order in which
the engine runs them. What several windows read at one spot is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fitness.engine.language_model import Distributions, LogLikelihood
from fitness.engine.scoring.windows import Window
from fitness.errors import FitnessError
from fitness.typing import Ints

_ROWS_AT_ONCE = 64  # float32 logits of so many spots fit in a CPU's cache, which makes three passes over them cheap


# packed: a trie, every token once. prefix: padded rows after a cached common prefix. plain: padded rows.
Mode = Literal["packed", "prefix", "plain"]


class Layout(Protocol):
    """Windows, laid out over forward passes; spots are numbered in the order in which they are run."""

    @property
    def readout(self) -> Readout:
        """What is read at which spot."""
        ...

    def run(self, model: nn.Module, reading: Reading) -> None:
        """Run everything once, and record what is read; raises torch.OutOfMemoryError where a pass does not fit."""
        ...


class Readout:
    """Which spots' logits are needed, and how they make the windows' answers; a window's places lie at its spots."""

    def __init__(self, windows: Sequence[Window], spots: Sequence[Ints]) -> None:
        # A target of -1 stands for the whole distribution.
        targets = [np.full(len(s), -1) if w.targets is None else w.targets for w, s in zip(windows, spots, strict=True)]
        flat = np.concatenate([np.empty(0, np.int64), *spots])
        pairs = np.stack([flat, np.concatenate([np.empty(0, np.int64), *targets])], axis=1)  # (n_asked, 2)
        reads, inverse = np.unique(pairs, axis=0, return_inverse=True)  # (n_reads, 2) ascending by spot, (n_asked,)
        self._spots, self._targets = reads[:, 0], reads[:, 1]
        ends = np.cumsum([0, *map(len, spots)])
        self._reads_of = [inverse.reshape(-1)[a:b] for a, b in pairwise(ends)]
        self._is_distribution = [window.targets is None for window in windows]
        self.spots: Ints = np.unique(self._spots)

    def wanted(self, start: int, stop: int) -> Ints:
        """Return the spots in [start, stop) whose logits are needed, ascending."""
        first, last = np.searchsorted(self.spots, [start, stop])
        return self.spots[first:last]

    def reads(self, spots: Ints) -> tuple[slice, Ints, Ints]:
        """Return the reads at consecutive `wanted` spots: which they are, their rows among them, their targets."""
        if not len(spots):
            return slice(0, 0), spots, spots
        first, last = np.searchsorted(self._spots, [spots[0], spots[-1] + 1])
        here = slice(int(first), int(last))
        return here, np.searchsorted(spots, self._spots[here]), self._targets[here]

    @property
    def n_windows(self) -> int:
        """How many windows are read."""
        return len(self._reads_of)

    def start(self) -> Reading:
        """Return an empty reading."""
        return Reading(self, len(self._spots))

    def answer(self, window: int, reading: Reading) -> LogLikelihood | Distributions:
        """Return one window's answer, once all its spots are recorded; it is finite."""
        reads = self._reads_of[window]
        if self._is_distribution[window]:
            return Distributions(np.stack([reading.distributions[int(read)] for read in reads]))
        value = float(reading.log_probabilities[reads].sum())
        if not np.isfinite(value):
            raise FitnessError("the model's outputs are not finite: its weights hold or produce NaN or infinity")
        return LogLikelihood(value, bool(reading.greedy[reads].all()))


class Reading:
    """The log-probabilities of one model, filled spot by spot."""

    def __init__(self, readout: Readout, n_reads: int) -> None:
        self._readout = readout
        self.log_probabilities = np.full(n_reads, np.nan)
        self.greedy = np.zeros(n_reads, dtype=np.bool_)
        self.distributions: dict[int, NDArray[np.float32]] = {}

    def record(self, spots: Ints, logits: torch.Tensor) -> None:
        """Take in (n_spots, n_vocabulary) logits of consecutive `wanted` spots."""
        here, rows, targets = self._readout.reads(spots)
        for start in range(0, len(spots), _ROWS_AT_ONCE):
            first, last = np.searchsorted(rows, [start, start + _ROWS_AT_ONCE])
            if first == last:
                continue
            part = slice(here.start + int(first), here.start + int(last))
            self._record(part, logits[start : start + _ROWS_AT_ONCE], rows[first:last] - start, targets[first:last])

    def _record(self, reads: slice, logits: torch.Tensor, rows: Ints, targets: Ints) -> None:
        logits = logits.float()
        normaliser = logits.logsumexp(dim=-1)  # (n_rows,)
        row = torch.from_numpy(rows).to(logits.device)  # (n_reads,)
        target = torch.from_numpy(targets).to(logits.device)
        # Where the target is -1 this log-probability is not looked at.
        self.log_probabilities[reads] = (logits[row, target] - normaliser[row]).double().cpu().numpy()
        self.greedy[reads] = (logits.argmax(dim=-1)[row] == target).cpu().numpy()
        for i in np.flatnonzero(targets < 0):
            distribution = (logits[rows[i]] - normaliser[rows[i]]).cpu().numpy()
            if np.isnan(distribution).any():
                raise FitnessError("the model's logits are not finite: its weights hold or produce NaN or infinity")
            self.distributions[reads.start + int(i)] = distribution
