"""Inner products of the parents over any segment of the flattened parameters.

The parents are read once, in blocks that fit a core's cache; later questions cost the two blocks that a segment cuts,
once for each new boundary. Sums are numpy's, in float64 and in a fixed order, so that they are the same bits whatever
the number of threads: a resumed campaign must find the angles that it began with.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search_spaces.recipes.flat_layout import FlatLayout

if TYPE_CHECKING:
    from torch import Tensor

# One block of two parents and their product in float64 fits a core's second-level cache.
_BLOCK = 1 << 15

ReadTensor = Callable[[int], "Sequence[Tensor]"]


class GramMatrices:
    """Gram matrices of K parents over segments [a, b) of their flattened parameters.

    Args:
        layout: the parameters' order.
        n_parents: K.
        read: i -> the i-th tensor of `layout` of every parent, each flat.
        block: how many parameters are read at once; changes the time and, by rounding, the last bits.
    """

    def __init__(self, layout: FlatLayout, n_parents: int, read: ReadTensor, *, block: int = _BLOCK) -> None:
        self.layout, self.n_parents = layout, n_parents
        self._read, self._block = read, block
        starts = [np.arange(a, b, block) for a, b in itertools.pairwise(layout.starts.tolist())]
        # A last, empty block begins where the parameters end.
        self._blocks = np.concatenate([*starts, [layout.size]]).astype(np.int64)
        self._known = np.zeros(0, dtype=np.int64)  # boundaries, ascending
        self._parts = np.zeros((0, n_parents, n_parents))  # from the beginning of each one's block up to it

    def between(self, cuts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the Gram matrix of each segment between neighbouring cuts: (len(cuts) - 1, K, K).

        Args:
            cuts: ascending, within [0, n].
        """
        blocks = np.searchsorted(self._blocks, cuts, side="right") - 1
        parts = self._up_to(cuts)
        pairs = np.stack([blocks[:-1], blocks[1:]], axis=1).ravel()
        whole = np.add.reduceat(self._totals, pairs, axis=0)[::2]
        whole[blocks[:-1] == blocks[1:]] = 0.0
        # Within a block whatever is subtracted is of the block's own size, so little is lost to rounding.
        found: NDArray[np.float64] = (whole - parts[:-1]) + parts[1:]
        return found

    @cached_property
    def _totals(self) -> NDArray[np.float64]:
        """(n_blocks + 1, K, K): each block's Gram matrix, and zero for the empty one at the end."""
        totals = [np.zeros((0, self.n_parents, self.n_parents))]
        import torch

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for i, size in enumerate(self.layout.sizes):
                tensors = self._read(i)
                parts = [slice(a, min(a + self._block, size)) for a in range(0, size, self._block)]
                totals.append(np.stack(list(pool.map(lambda part, tensors=tensors: gram(tensors, part), parts))))
        return np.concatenate([*totals, np.zeros((1, self.n_parents, self.n_parents))])

    def _up_to(self, cuts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the Gram matrices from the beginning of each cut's block up to it: (len(cuts), K, K)."""
        places = np.searchsorted(self._known, cuts)
        new = np.ones(len(cuts), dtype=bool)
        inside = places < len(self._known)
        new[inside] = self._known[places[inside]] != cuts[inside]
        if new.any():
            computed = np.stack([self._part(int(cut)) for cut in cuts[new]])
            self._parts = np.insert(self._parts, places[new], computed, axis=0)
            self._known = np.insert(self._known, places[new], cuts[new])
            places = np.searchsorted(self._known, cuts)
        return self._parts[places]

    def _part(self, cut: int) -> NDArray[np.float64]:
        block = int(self._blocks[np.searchsorted(self._blocks, cut, side="right") - 1])
        if block == cut:
            return np.zeros((self.n_parents, self.n_parents))
        tensor = int(np.searchsorted(self.layout.starts, cut, side="right")) - 1
        first = int(self.layout.starts[tensor])
        return gram(self._read(tensor), slice(block - first, cut - first))


def gram(tensors: Sequence[Tensor], part: slice) -> NDArray[np.float64]:
    """Return the Gram matrix of a part of flat tensors: (K, K), in float64."""
    import torch

    rows = [tensor[part].to(torch.float64).numpy() for tensor in tensors]
    found = np.empty((len(rows), len(rows)))
    for i, row in enumerate(rows):
        for j in range(i + 1):
            found[i, j] = found[j, i] = np.add.reduce(row * rows[j])
    return found
