"""M2N2's merge of two individuals: slerp with a split point.

Abrantes, Lange and Tang, "Competition and Attraction Improve Model Fusion", arXiv:2508.16204, section 3: with a split
point s and a ratio w the child is slerp_w(A, B) before s and slerp_{1-w}(A, B) from s on. The paper writes one angle
for each side; the released code has one angle for both, that of the full vectors.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import SpaceError
from search_spaces.recipes.flat_layout import FlatLayout, Split
from search_spaces.spaces.niches.individual import Individual, merged

if TYPE_CHECKING:
    from torch import Tensor

# One block of two parents and their product in float64 fits a core's second-level cache.
_BLOCK = 1 << 15

ReadTensor = Callable[[int], "Sequence[Tensor]"]


class GramMatrices:
    """Gram matrices of K parents over segments [a, b) of their flattened parameters.

    `read` maps i to the i-th tensor of the layout of every parent, each flat. How many parameters a `block` has changes
    the time and, by rounding, the last bits.
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
        """Return the Gram matrix of each segment between neighbouring cuts, which ascend: (len(cuts) - 1, K, K)."""
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


Angle = Literal["global", "side", "tensor"]

SMALLEST_SINE = 1e-6


def slerp_shares(ratio: float, *, dot: float, square_a: float, square_b: float) -> tuple[float, float]:
    """Return how much of A and of B is in slerp_ratio(A, B), on vectors that are not normalised.

    With Ω the angle between A and B these are sin((1 - ratio)Ω) / sin Ω and sin(ratio Ω) / sin Ω; ratio 0 is A itself.
    Where A and B are parallel or opposite (sin Ω at most 1e-6) or one of them is zero they are 1 - ratio and ratio.
    """
    sine = 0.0
    if square_a > 0.0 and square_b > 0.0:
        cosine = dot / (math.sqrt(square_a) * math.sqrt(square_b))
        angle = math.acos(min(max(cosine, -1.0), 1.0))
        sine = math.sin(angle)
    if sine <= SMALLEST_SINE:
        return 1.0 - ratio, ratio
    return math.sin((1.0 - ratio) * angle) / sine, math.sin(ratio * angle) / sine


@dataclass(frozen=True)
class Crossover:
    """Makes children of individuals; needs no weights once the parents' Gram matrices are known."""

    grams: GramMatrices  # the parents' Gram matrices, and with them the order of the parameters
    split: Split = "param"  # where split points may fall; "none": the ratio holds everywhere
    # whose angle slerp takes: "global": that of the full vectors (released code); "side": of what lies before and from
    # the split point on, each its own (paper); "tensor": each tensor's own
    angle: Angle = "global"

    def __post_init__(self) -> None:
        check_angle(self.angle)
        self.grams.layout.split_points(self.split)

    @cached_property
    def seeds(self) -> tuple[Individual, ...]:
        """The parents themselves."""
        n, size = self.grams.n_parents, self.grams.layout.size
        return tuple(Individual.of_parent(i, n_parents=n, size=size) for i in range(n))

    @cached_property
    def split_points(self) -> Sequence[int]:
        """Where a split may fall, each as likely as another."""
        return self.grams.layout.split_points(self.split)

    def child(self, first: Individual, second: Individual, rng: np.random.Generator) -> Individual:
        """Return a child with a random split point and a ratio that is uniform in [0, 1)."""
        split = self.split_points[int(rng.integers(len(self.split_points)))]
        return self.cross(first, second, split=split, ratio=rng.random())

    def cross(self, first: Individual, second: Individual, *, split: int, ratio: float) -> Individual:
        """Return the child of A and B: B's share is `ratio`, in [0, 1], before the split, then 1 - ratio."""
        starts = self.grams.layout.starts
        more = starts if self.angle == "tensor" else starts[:0]
        cuts = np.sort(np.concatenate([first.boundaries, second.boundaries, more, np.array([split])]))
        cuts = cuts[np.append(True, cuts[1:] != cuts[:-1])]
        a, b = first.refined(cuts), second.refined(cuts)
        products = self._products(a, b, cuts)
        sides = cuts[:-1] >= split
        regions = region_starts(self.angle, split, starts)
        owner = np.searchsorted(regions, cuts[:-1], side="right") - 1
        sums = np.add.reduceat(products, np.searchsorted(cuts, regions), axis=0)
        table = np.array([[slerp_of(sums[r], w) for w in (ratio, 1.0 - ratio)] for r in range(len(regions))])
        shares = table[owner, sides.astype(int)]
        return merged(cuts, shares[:, :1] * a + shares[:, 1:] * b)

    def _products(self, a: NDArray[np.float64], b: NDArray[np.float64], cuts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return A·B, A·A and B·B of each segment: (n_segments, 3)."""
        grams = self.grams.between(cuts)
        ga, gb = np.einsum("skl,sl->sk", grams, a), np.einsum("skl,sl->sk", grams, b)
        return np.stack([(a * gb).sum(axis=1), (a * ga).sum(axis=1), (b * gb).sum(axis=1)], axis=1)


def check_angle(angle: str) -> None:
    """Do nothing if an angle is one of ours."""
    if angle not in get_args(Angle):
        raise SpaceError(f"angle: expected one of {', '.join(get_args(Angle))}, found {angle!r}")


def region_starts(angle: Angle, split: int, tensors: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the regions begin that have an angle of their own; tensors begin at `FlatLayout.starts`."""
    if angle == "tensor":
        return tensors[:-1]
    return np.array([0, split] if angle == "side" and 0 < split < tensors[-1] else [0])


def slerp_of(products: NDArray[np.float64], ratio: float) -> tuple[float, float]:
    """Return `slerp_shares` of A·B, A·A and B·B."""
    dot, square_a, square_b = products.tolist()
    return slerp_shares(ratio, dot=dot, square_a=square_a, square_b=square_b)
