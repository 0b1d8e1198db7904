"""M2N2's merge of individuals that are stored as weights: for small networks, and wherever children mutate."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import SpaceError
from search_spaces.recipes.flat_layout import FlatLayout, Split
from search_spaces.spaces.niches.crossover import Angle, check_angle, region_starts, slerp_of

Weights = NDArray[np.float32]


@dataclass(frozen=True)
class StoredCrossover:
    """Makes children of flat weight vectors; see `Crossover`, whose children are the same but for rounding."""

    seeds: tuple[Weights, ...]  # the parents, each float32 (n,), read-only
    layout: FlatLayout  # the order of the n parameters
    split: Split = "param"  # see `Crossover`
    angle: Angle = "global"  # see `Crossover`
    recombines: bool = True  # whether a child has two parents; if not it is its first parent, mutated
    mutation: float = 0.0  # standard deviation of the normal noise on every parameter of a child, at least 0

    def __post_init__(self) -> None:
        check_angle(self.angle)
        self.layout.split_points(self.split)
        for seed in self.seeds:
            if seed.shape != (self.layout.size,):
                raise SpaceError(f"seeds: expected the shape ({self.layout.size},), found {seed.shape}")
        if not self.mutation >= 0.0:
            raise SpaceError(f"mutation: expected a standard deviation of at least 0, found {self.mutation}")
        if not self.recombines and self.mutation == 0.0:
            raise SpaceError("mutation: expected above 0 without crossover, found 0: children would be their parents")

    @cached_property
    def split_points(self) -> Sequence[int]:
        """Where a split may fall, each as likely as another."""
        return self.layout.split_points(self.split)

    def child(self, first: Weights, second: Weights, rng: np.random.Generator) -> Weights:
        """Return a child with a random split point, ratio and mutation; read-only."""
        child = first
        if self.recombines:
            split = self.split_points[int(rng.integers(len(self.split_points)))]
            child = self.cross(first, second, split=split, ratio=rng.random())
        if self.mutation:
            noise = rng.standard_normal(child.size, dtype=np.float32)
            noise *= np.float32(self.mutation)
            noise += child
            child = noise
        child.flags.writeable = False
        return child

    def cross(self, first: Weights, second: Weights, *, split: int, ratio: float) -> Weights:
        """Return the child of a given split point and ratio; see `Crossover.cross`."""
        regions = region_starts(self.angle, split, self.layout.starts).tolist()
        edges = sorted({*regions, split, self.layout.size})
        child, scaled = np.empty_like(first), np.empty_like(first)
        region, products = -1, np.zeros(3)
        for start, stop in itertools.pairwise(edges):
            if region + 1 < len(regions) and start == regions[region + 1]:
                region += 1
                end = regions[region + 1] if region + 1 < len(regions) else self.layout.size
                products = _products(first[start:end], second[start:end])
            share_a, share_b = slerp_of(products, ratio if start < split else 1.0 - ratio)
            part = slice(start, stop)
            np.multiply(first[part], np.float32(share_a), out=child[part])
            np.multiply(second[part], np.float32(share_b), out=scaled[part])
            child[part] += scaled[part]
        return child


def _products(a: Weights, b: Weights) -> NDArray[np.float64]:
    return np.array([np.dot(x, y) for x, y in ((a, b), (a, a), (b, b))], dtype=np.float64)
