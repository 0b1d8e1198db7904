"""M2N2's merge of two individuals: slerp with a split point.

Abrantes, Lange and Tang, "Competition and Attraction Improve Model Fusion", arXiv:2508.16204, section 3: with a split
point s and a ratio w the child is slerp_w(A, B) before s and slerp_{1-w}(A, B) from s on. The paper writes one angle
for each side; the released code has one angle for both, that of the full vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import SpaceError
from search_spaces.recipes.flat_layout import Split
from search_spaces.spaces.niches.gram import GramMatrices
from search_spaces.spaces.niches.individual import Individual, merged

Angle = Literal["global", "side", "tensor"]

SMALLEST_SINE = 1e-6


def slerp_shares(ratio: float, *, dot: float, square_a: float, square_b: float) -> tuple[float, float]:
    """Return how much of A and of B is in slerp_ratio(A, B), on vectors that are not normalised.

    With Ω the angle between A and B these are sin((1 - ratio)Ω) / sin Ω and sin(ratio Ω) / sin Ω; ratio 0 is A itself.
    Where A and B are parallel or opposite (sin Ω at most 1e-6) or one of them is zero they are 1 - ratio and ratio.

    Args:
        ratio: in [0, 1].
        dot: A·B.
        square_a: A·A.
        square_b: B·B.
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
    """Makes children of individuals; needs no weights once the parents' Gram matrices are known.

    Attributes:
        grams: the parents' Gram matrices, and with them the order of the parameters.
        split: where split points may fall; "none": the ratio holds everywhere.
        angle: whose angle slerp takes: "global": that of the full vectors (released code); "side": of what lies before
            and from the split point on, each its own (paper); "tensor": each tensor's own.
    """

    grams: GramMatrices
    split: Split = "param"
    angle: Angle = "global"

    def __post_init__(self) -> None:
        """Check the angle and the split.

        Raises:
            SpaceError: one of them is unknown.
        """
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
        """Return the child of a given split point and ratio.

        Args:
            first: A.
            second: B.
            split: where the ratio changes; 0 leaves nothing before it.
            ratio: w, B's share before the split point; 1 - w is its share from there on. In [0, 1].
        """
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
    """Do nothing if an angle is one of ours.

    Raises:
        SpaceError: it is not.
    """
    if angle not in get_args(Angle):
        raise SpaceError(f"angle: expected one of {', '.join(get_args(Angle))}, found {angle!r}")


def region_starts(angle: Angle, split: int, tensors: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the regions begin that have an angle of their own.

    Args:
        angle: see `Crossover.angle`.
        split: the split point; at either end it leaves one side.
        tensors: `FlatLayout.starts`.
    """
    if angle == "tensor":
        return tensors[:-1]
    return np.array([0, split] if angle == "side" and 0 < split < tensors[-1] else [0])


def slerp_of(products: NDArray[np.float64], ratio: float) -> tuple[float, float]:
    """Return `slerp_shares` of A·B, A·A and B·B."""
    dot, square_a, square_b = products.tolist()
    return slerp_shares(ratio, dot=dot, square_a=square_a, square_b=square_b)
