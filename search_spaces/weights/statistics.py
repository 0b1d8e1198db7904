"""What a merge needs to know of the parents' weights as a whole, kept from one candidate to the next."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
import torch
from torch import Tensor

from search_spaces.operators.operator import Trim
from search_spaces.operators.ranks import doubled_ranks
from search_spaces.operators.threshold import Magnitudes, trim_of
from search_spaces.threads import parallel_map
from search_spaces.weights.factors import FactorCache
from search_spaces.weights.kernels.compiled import CompiledKernels
from search_spaces.weights.model_trims import ModelTrims
from search_spaces.weights.recent import Recent
from search_spaces.weights.trims import TrimCache, density_steps

# Ranks take 2 bytes an element and parent (4 in rows of more than 32,768): those of DELLA on 3 parents of 0.6 billion
# parameters fit. Beyond, they are computed for every candidate.
RANK_BYTES = 4 * 10**9

# Rows that are ranked together, with some 40 bytes an element, fit a core's cache.
_RANKED_AT_ONCE = 1 << 15

# Norms and energies: some 200 bytes each.
_MOST_NUMBERS = 200_000


class Statistics:
    """Thresholds, ranks, norms and decompositions; none of them changes anything but the time.

    One object serves one set of opened parents. Keys name what a result is computed from: equal keys promise equal
    tensors.

    Attributes:
        repeated: whether many merges of the same tensors are to come.
        factors: singular value decompositions, on disk.
        model_trims: thresholds over whole models.
        kernels: compiled as they are needed.
    """

    def __init__(
        self,
        *,
        repeated: bool = True,
        trims: TrimCache | None = None,
        factors: FactorCache | None = None,
        kernels: CompiledKernels | None = None,
        rank_bytes: int = RANK_BYTES,
    ) -> None:
        """Begin with nothing.

        Args:
            repeated: whether many merges of the same tensors are to come; for a single one a threshold is searched
                where otherwise a table of all is made, and nothing is kept.
            trims: to share with other users of the same parents.
            factors: None = on disk, in the default directory.
            kernels: None = compiled where it pays.
            rank_bytes: memory for ranks.
        """
        self.repeated = repeated
        self.factors = FactorCache() if factors is None else factors
        self.model_trims = ModelTrims()
        self.kernels = CompiledKernels() if kernels is None else kernels
        self._trims = (TrimCache() if trims is None else trims) if repeated else None
        self._ranks: Recent[Tensor] = Recent(rank_bytes if repeated else 0, lambda ranks: ranks.nbytes)
        self._numbers: Recent[tuple[float, ...]] = Recent(_MOST_NUMBERS if repeated else 0)

    def trim(
        self,
        key: Hashable,
        magnitudes: Magnitudes,
        k: int,
        n: int,
        *,
        steps: Callable[[int], list[int]] = density_steps,
    ) -> Trim:
        """Return `threshold.trim_of(magnitudes, n, k)`.

        Args:
            key: names the magnitudes.
            magnitudes: computes them anew.
            k: in [0, n].
            n: how many there are.
            steps: n -> the k that will be asked for most.
        """
        if self._trims is None or k in (0, n):
            return trim_of(magnitudes, n, k)
        return self._trims.trim(key, magnitudes, k, n, steps=steps)

    def ranks(self, key: Hashable, delta: Magnitudes, n: int, width: int) -> Tensor:
        """Return `ranks.doubled_ranks` of a task vector, flat, in the form of `kernels.form.Part`.

        Args:
            key: names the task vector.
            delta: computes a part of it anew, or of its magnitudes.
            n: how many elements it has.
            width: of its rows.
        """
        narrow = 2 * (width - 1) < 1 << 16
        step = max(1, _RANKED_AT_ONCE // max(1, width)) * width

        def compute() -> Tensor:
            ranks: np.ndarray = np.empty(n, dtype=np.uint16 if narrow else np.int32)

            def rank(start: int) -> None:
                part = slice(start, min(start + step, n))
                ranks[part] = doubled_ranks(delta(part).view(-1, width)).view(-1).numpy()

            parallel_map(rank, range(0, n, max(1, step)))
            if narrow and self.repeated:
                return torch.from_numpy(np.stack([(ranks >> 8).astype(np.uint8), (ranks & 0xFF).astype(np.uint8)]))
            return torch.from_numpy(ranks)

        return self._ranks.get(key, compute)

    def numbers(self, key: Hashable, compute: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
        """Return `compute()`, some sums over tensors."""
        return self._numbers.get(key, compute)
