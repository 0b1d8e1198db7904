"""What a merge needs to know of the parents' weights as a whole, kept from one candidate to the next."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search_spaces.merging.factors import FactorCache
from search_spaces.merging.plan import Origins
from search_spaces.merging.recent import Recent
from search_spaces.merging.trims import ModelTrims, TrimCache
from search_spaces.operators.kernels.compiled import CompiledKernels
from search_spaces.operators.kernels.ranks import packed_ranks
from search_spaces.operators.kernels.sparsify import density_steps
from search_spaces.operators.kernels.threshold import Magnitudes, Trim, trim_of
from search_spaces.operators.memory import Steps
from search_spaces.operators.operator import T
from search_spaces.statistics.store import StatisticsStore

# Ranks take 2 bytes an element and parent (4 in rows of more than 32,768): those of DELLA on 3 parents of 0.6 billion
# parameters fit. Beyond, they are computed for every candidate.
_RANK_BYTES = 4 * 10**9

# Factorised Gram matrices, for the weights of one layer that share them: those of 8,192 inputs fit.
_RECENT_BYTES = 6 * 10**8

# Norms and energies: some 200 bytes each.
_MOST_NUMBERS = 200_000


class MergeMemory:
    """Thresholds, ranks, norms and decompositions; none of them changes anything but the time.

    One object serves one set of opened parents. Keys name what a result is computed from: equal keys promise equal
    tensors.

    Attributes:
        repeated: whether many merges of the same tensors are to come.
        factors: singular value decompositions, on disk.
        model_trims: thresholds over whole models.
        kernels: compiled as they are needed.
        statistics: what parents computed on prompts, on disk.
        origins: which tensors are merged.
    """

    def __init__(
        self,
        *,
        repeated: bool = True,
        factors: FactorCache | None = None,
        kernels: CompiledKernels | None = None,
        statistics: StatisticsStore | None = None,
    ) -> None:
        """Begin with nothing.

        For a single merge (not `repeated`) a threshold is searched where otherwise a table of all is made, and nothing
        is kept. Factors None: on disk, in the default directory; kernels None: compiled where it pays.
        """
        self.repeated = repeated
        self.factors = FactorCache() if factors is None else factors
        self.model_trims = ModelTrims()
        self.kernels = CompiledKernels() if kernels is None else kernels
        self.statistics = StatisticsStore() if statistics is None else statistics
        self.origins = Origins()
        self._trims = TrimCache() if repeated else None
        self._ranks: Recent[Tensor] = Recent(_RANK_BYTES if repeated else 0, lambda ranks: ranks.nbytes)
        self._recent: Recent[Any] = Recent(_RECENT_BYTES, lambda value: value.nbytes)
        self._numbers: Recent[tuple[float, ...]] = Recent(_MOST_NUMBERS if repeated else 0)

    def trim(self, key: Hashable, magnitudes: Magnitudes, k: int, n: int, *, steps: Steps = density_steps) -> Trim:
        """Return `threshold.trim_of(magnitudes, n, k)`; `steps` maps n to the k that will be asked for most."""
        if self._trims is None or k in (0, n):
            return trim_of(magnitudes, n, k)
        return self._trims.trim(key, magnitudes, k, n, steps=steps)

    def ranks(self, key: Hashable, magnitudes: Magnitudes, n: int, width: int) -> Tensor:
        """Return `ranks.packed_ranks`, in the form of `kernels.form.Part` that is read fastest."""

        def compute() -> Tensor:
            ranks = packed_ranks(magnitudes, n, width)
            if self.repeated and ranks.dtype == np.uint16:
                return torch.from_numpy(np.stack([(ranks >> 8).astype(np.uint8), (ranks & 0xFF).astype(np.uint8)]))
            return torch.from_numpy(ranks)

        return self._ranks.get(key, compute)

    def numbers(self, key: Hashable, compute: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
        """Return `compute()`, some sums over tensors."""
        return self._numbers.get(key, compute)

    def recent(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return `compute()`, something of statistics that weights of one layer share."""
        found: T = self._recent.get(key, compute)
        return found
