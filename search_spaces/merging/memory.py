"""What a merge needs to know of the parents' weights as a whole, kept from one candidate to the next."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from search_spaces.merging.factors import FactorCache
from search_spaces.merging.kept_numbers import Keeping, KeptNumbers, Nowhere
from search_spaces.merging.model_trims import ModelTrims
from search_spaces.merging.plan import Origins, TensorPlan
from search_spaces.merging.recent import FirstKept, Recent
from search_spaces.merging.trims import SEARCHED_BEFORE_A_TABLE, TrimCache
from search_spaces.operators.kernels.compiled import CompiledKernels
from search_spaces.operators.kernels.counting import Magnitudes, device_of
from search_spaces.operators.kernels.ranks import packed_ranks
from search_spaces.operators.kernels.sparsify import density_steps
from search_spaces.operators.kernels.threshold import Trim, trim_of
from search_spaces.operators.memory import Steps
from search_spaces.operators.operator import T
from search_spaces.parents.parents import Parents
from search_spaces.residency.staged import staged, stored_in
from search_spaces.residency.supply import Supply
from search_spaces.statistics.store import StatisticsStore

# Ranks take 2 bytes an element and parent (4 in rows of more than 32,768): those of DELLA on 3 parents of 0.6 billion
# parameters fit. Beyond, they are read from disk, where sorting takes 30 times as long.
_RANK_BYTES = 4 * 10**9
_FEWEST_RANKS_ON_DISK = 1 << 18

# Factorised Gram matrices, for the weights of one layer that share them: those of 8,192 inputs fit.
_RECENT_BYTES = 6 * 10**8

# Norms and energies: some 200 bytes each.
_MOST_NUMBERS = 200_000


class MergeMemory:
    """Thresholds, ranks, norms and decompositions; none of them changes anything but the time.

    One object serves one set of opened parents. Keys name what a result is computed from: equal keys promise equal
    tensors.

    Attributes:
        factors: singular value decompositions and ranks, on disk.
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
        kept: KeptNumbers | None = None,
        supply: Supply | None = None,
    ) -> None:
        """Begin with nothing.

        For a single merge (not `repeated`) every threshold is searched, and nothing is kept. Factors None: on disk, in
        the default directory; kernels None: compiled where it pays; kept: where thresholds, sums and ranks of the
        parents are found again by other processes, None for nowhere; supply: where the parents' tensors come from, and
        merges run, None for their files and the CPU.
        """
        self._supply = supply
        self._staged: tuple[Parents, Parents] | None = None
        self._repeated = repeated
        self._files = kept if repeated else None
        self._kept: Keeping = self._files or Nowhere()
        self.factors = FactorCache() if factors is None else factors
        self.model_trims = ModelTrims(self._kept)
        self.kernels = CompiledKernels() if kernels is None else kernels
        self.statistics = StatisticsStore() if statistics is None else statistics
        self.origins = Origins()
        self._trims = TrimCache(self._kept) if repeated else None
        self._ranks: FirstKept[Tensor] = FirstKept(_RANK_BYTES if repeated else 0, lambda ranks: ranks.nbytes)
        self._recent: Recent[Any] = Recent(_RECENT_BYTES, lambda value: value.nbytes)
        self._numbers: Recent[tuple[float, ...]] = Recent(_MOST_NUMBERS if repeated else 0)
        self._shares: defaultdict[Hashable, set[float]] = defaultdict(set)

    def staged(self, parents: Parents) -> Parents:
        """Return the parents as their tensors are supplied."""
        if self._supply is None:
            return parents
        if self._staged is None or self._staged[0] is not parents:
            self._staged = parents, staged(parents, self._supply)
        return self._staged[1]

    def expect(self, plans: Sequence[TensorPlan], parents: Parents) -> None:
        """Let what plans read of staged parents be brought, in this order."""
        if self._supply is not None:
            read = [[source for source in (plan.base, *plan.sources) if source is not None] for plan in plans]
            self._supply.expect([[t for p, name in each for t in stored_in(parents[p].lazy(name))] for each in read])

    def trim(self, key: Hashable, magnitudes: Magnitudes, k: int, n: int, *, steps: Steps = density_steps) -> Trim:
        """Return `threshold.trim_of(magnitudes, n, k)`; `steps` maps n to the k that will be asked for most."""
        if self._trims is None or k in (0, n):
            return trim_of(magnitudes, n, k)
        return self._trims.trim(key, magnitudes, k, n, steps=steps)

    def worth_tables(self, key: Hashable, share: float) -> bool:
        """Return whether so many shares of what a key names were asked for, this one too, that a table of all pays."""
        shares = self._shares[key]
        if self._repeated and len(shares) <= SEARCHED_BEFORE_A_TABLE:
            shares.add(share)
        return len(shares) > SEARCHED_BEFORE_A_TABLE

    def ranks(self, key: Hashable, magnitudes: Magnitudes, n: int, width: int) -> Tensor:
        """Return `ranks.packed_ranks`."""

        def compute() -> Tensor:
            return packed_ranks(magnitudes, n, width)

        def find() -> Tensor:
            if self._files is None or n < _FEWEST_RANKS_ON_DISK:
                return compute()
            return self.factors.mapped(f"ranks of {width}, {key!r} of {self._files.name}", lambda: (compute(),))[0]

        return self._ranks.get(key, find).to(device_of(magnitudes))

    def numbers(
        self, key: Hashable, compute: Callable[[], tuple[float, ...]], *, kept: bool = False
    ) -> tuple[float, ...]:
        """Return `compute()`, some sums over tensors; those that are asked for again and again are `kept` on disk."""

        def find() -> tuple[float, ...]:
            found = self._kept.find(("numbers", key))
            if found is not None:
                return tuple(found.tolist())
            numbers = compute()
            self._kept.add(("numbers", key), np.array(numbers, dtype=np.float64))
            return numbers

        return self._numbers.get(key, find if kept else compute)

    def flush(self) -> None:
        """Let other processes find what was kept by now."""
        self._kept.flush()

    def recent(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return `compute()`, something of statistics that weights of one layer share."""
        found: T = self._recent.get(key, compute)
        return found
