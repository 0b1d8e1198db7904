"""What is read off a model's logits, wherever in a forward pass they are computed.

An engine lays windows out over its forward passes; a *spot* is a place in that layout, numbered in the order in which
the engine runs them. What several windows read at one spot is computed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fitness.engine.language_model import Distributions, LogLikelihood
from fitness.engine.scoring.windows import Window
from fitness.errors import FitnessError
from fitness.typing import Bools, Ints

_CPU_ROWS = 64  # float32 logits of so many spots fit in a CPU's cache, which makes three passes over them cheap
_GPU_ROWS = 1024


# packed: a trie, every token once; flex: the same with flex_attention, on GPUs. prefix: padded rows after a cached
# common prefix. plain: padded rows.
Mode = Literal["flex", "packed", "prefix", "plain"]
PACKED: tuple[Mode, ...] = ("flex", "packed")


class Layout(Protocol):
    """Windows, laid out over forward passes; spots are numbered in the order in which they are run."""

    @property
    def readout(self) -> Readout:
        """What is read at which spot."""
        ...

    @property
    def n_tokens(self) -> int:
        """How many tokens a run runs, padding left out."""
        ...

    def run(self, model: nn.Module, reading: Reading) -> None:
        """Run everything once, and record what is read; raises torch.OutOfMemoryError where a pass does not fit."""
        ...


@dataclass(frozen=True, eq=False)
class ReadPart:
    """Some of the reads at the spots of a forward pass, on the model's device."""

    reads: slice  # which they are
    logits: slice  # the rows of logits that they are read off
    rows: torch.Tensor  # (n_reads,) each one's among these
    targets: torch.Tensor  # (n_reads,) the token that is read, -1: all of them
    whole: Ints  # which of the reads have target -1


class Readout:
    """Which spots' logits are needed, and how they make the windows' answers; a window's places lie at its spots."""

    def __init__(self, spots: Ints, targets: Ints, starts: Ints) -> None:
        """Take (n_asked,) spots and targets, and (n_windows + 1,) where each window's begin in them, and the end.

        A target of -1 stands for the whole distribution; all of a window's are, or none.
        """
        most = int(targets.max(initial=0)) + 2
        reads, inverse = np.unique(spots * most + targets + 1, return_inverse=True)  # (n_reads,) ascending, (n_asked,)
        self._spots, self._targets = reads // most, reads % most - 1
        self._reads_of = [inverse[a:b] for a, b in pairwise(starts)]
        self._is_distribution = (targets[starts[:-1]] < 0).tolist()
        self.spots: Ints = np.unique(self._spots)
        self._parts: dict[tuple[int, int, torch.device], list[ReadPart]] = {}

    @classmethod
    def of_windows(cls, windows: Sequence[Window], spots: Sequence[Ints]) -> Readout:
        """Return the readout of windows whose places lie at some spots."""
        targets = [np.full(len(s), -1) if w.targets is None else w.targets for w, s in zip(windows, spots, strict=True)]
        nothing = np.empty(0, np.int64)
        starts = np.cumsum([0, *map(len, spots)])
        return cls(np.concatenate([nothing, *spots]), np.concatenate([nothing, *targets]), starts)

    def wanted(self, start: int, stop: int) -> Ints:
        """Return the spots in [start, stop) whose logits are needed, ascending."""
        first, last = np.searchsorted(self.spots, [start, stop])
        return self.spots[first:last]

    def parts(self, spots: Ints, device: torch.device) -> list[ReadPart]:
        """Return the reads at consecutive `wanted` spots, cut into parts; made for the first model, and kept."""
        if not len(spots):
            return []
        key = int(spots[0]), len(spots), device
        if key not in self._parts:
            n_rows = _CPU_ROWS if device.type == "cpu" else _GPU_ROWS
            starts = range(0, len(spots), n_rows)
            self._parts[key] = [self._part(spots[start : start + n_rows], start, device) for start in starts]
        return self._parts[key]

    def _part(self, spots: Ints, start: int, device: torch.device) -> ReadPart:
        first, last = np.searchsorted(self._spots, [spots[0], spots[-1] + 1])
        rows, targets = np.searchsorted(spots, self._spots[first:last]), self._targets[first:last]
        return ReadPart(
            slice(int(first), int(last)),
            slice(start, start + len(spots)),
            torch.from_numpy(rows).to(device),
            torch.from_numpy(targets).to(device),
            np.flatnonzero(targets < 0),
        )

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
    """The log-probabilities of one model, filled spot by spot; they stay on its device until the first answer."""

    def __init__(self, readout: Readout, n_reads: int) -> None:
        self._readout = readout
        self._log_probabilities = np.full(n_reads, np.nan)
        self._greedy = np.zeros(n_reads, dtype=np.bool_)
        self._waiting: list[tuple[slice, torch.Tensor, torch.Tensor]] = []
        self.distributions: dict[int, NDArray[np.float32]] = {}

    @property
    def log_probabilities(self) -> NDArray[np.float64]:
        """(n_reads,) in nats, NaN where nothing was recorded."""
        self._fetch()
        return self._log_probabilities

    @property
    def greedy(self) -> Bools:
        """(n_reads,) whether the target is the likeliest token."""
        self._fetch()
        return self._greedy

    def record(self, spots: Ints, logits: torch.Tensor) -> None:
        """Take in (n_spots, n_vocabulary) logits of consecutive `wanted` spots."""
        for part in self._readout.parts(spots, logits.device):
            self._record(part, logits[part.logits].float())

    def _record(self, part: ReadPart, logits: torch.Tensor) -> None:
        normaliser = logits.logsumexp(dim=-1)  # (n_rows,)
        # Where the target is -1 this log-probability is not looked at.
        found = (logits[part.rows, part.targets] - normaliser[part.rows]).double()  # (n_reads,)
        self._waiting.append((part.reads, found, logits.argmax(dim=-1)[part.rows] == part.targets))
        if len(part.whole):
            places = part.rows[torch.from_numpy(part.whole).to(logits.device)]
            distributions = (logits[places] - normaliser[places, None]).cpu().numpy()
            if np.isnan(distributions).any():
                raise FitnessError("the model's logits are not finite: its weights hold or produce NaN or infinity")
            self.distributions.update(zip((part.reads.start + part.whole).tolist(), distributions, strict=True))

    def _fetch(self) -> None:
        """Bring what waits on the device, which is one wait for it."""
        if not self._waiting:
            return
        places = np.concatenate([np.arange(reads.start, reads.stop) for reads, _, _ in self._waiting])
        self._log_probabilities[places] = torch.cat([found for _, found, _ in self._waiting]).cpu().numpy()
        self._greedy[places] = torch.cat([greedy for _, _, greedy in self._waiting]).cpu().numpy()
        self._waiting.clear()
