"""Task vectors merged by a spectral operator, and random ones to merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from search_spaces.recipes.rule import Parameter
from tests.search_spaces.operators.merging import merge, rule_of


def tau(operator: str, deltas: Sequence[Tensor], *inputs: Mapping[str, Parameter], **parameters: Parameter) -> Tensor:
    """Merge task vectors, on a base of zeros so that no digit is lost in adding it; τ is the result."""
    given = inputs or tuple({} for _ in deltas)
    base = torch.zeros_like(deltas[0])
    return merge(rule_of(operator, *map(dict, given), **parameters), list(deltas), base)


def random_deltas(n: int, shape: tuple[int, ...], *, seed: int = 0, rank: int | None = None) -> list[Tensor]:
    """Float64 task vectors; of a rank if one is given."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    if rank is None:
        return [normal(*shape) for _ in range(n)]
    return [normal(shape[0], rank) @ normal(rank, shape[1]) for _ in range(n)]


def nuclear(matrix: Tensor) -> float:
    return float(torch.linalg.svdvals(matrix.double()).sum())
