"""Which tensors have a spectrum worth merging, and what a spectral operator sees of each.

Matrices inside the layers do; fused experts (E, o, n) are E matrices. Embeddings and head are tables of rows, norms
and biases are vectors: their task vectors are averaged or summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands
from search_spaces.operators.spectral.decomposition import Svd, svd


@dataclass(frozen=True)
class Matrices:
    """One matrix of every parent that takes part, as task vectors."""

    operands: Operands  # of the whole tensor
    inputs: tuple[int, ...]  # which of the operands' inputs take part
    expert: int | None  # which matrix of a three-dimensional tensor; None for a tensor that is a matrix

    @property
    def shape(self) -> tuple[int, int]:
        """(o, n)."""
        *_, o, n = self.operands.tensors[0].shape
        return o, n

    @property
    def rank(self) -> int:
        """The largest rank that a matrix of this shape can have."""
        return min(self.shape)

    def numbers(self, name: str) -> list[float]:
        """Return a per-parent parameter of the parents that take part, e.g. their weights, none of them 0."""
        every = self.operands.numbers(name)
        return [every[i] for i in self.inputs]

    def delta(self, j: int) -> Tensor:
        """Return the task vector of the j-th parent that takes part, (o, n), before its weight."""
        parent, origin = self.operands.tensors[self.inputs[j]], self.operands.task_origin
        return parent - origin if self.expert is None else parent[self.expert] - origin[self.expert]

    def total(self, weights: Sequence[float]) -> Tensor:
        """Return Σ wⱼδⱼ, (o, n)."""
        total = self.delta(0).mul_(weights[0])
        for j, weight in enumerate(weights[1:], start=1):
            total.add_(self.delta(j), alpha=weight)
        return total

    def svd(self, j: int) -> Svd:
        """Return the decomposition of `delta(j)`."""
        return Svd(*self.recall("svd", lambda: svd(self.delta(j)), of=(j,)))

    def recall(
        self, what: str, compute: Callable[[], tuple[Tensor, ...]], *, of: Sequence[int] | None = None
    ) -> tuple[Tensor, ...]:
        """Return `compute()`, or what it returned before; see `operator.Recall`.

        It reads nothing but the task vectors `of` some of the parents that take part; None = all.
        """
        if self.operands.factors is None:
            return tuple(compute())
        inputs = self.inputs if of is None else tuple(self.inputs[j] for j in of)
        place = "" if self.expert is None else f", matrix {self.expert}"
        return self.operands.factors(what + place, inputs, compute)


def merge_matrices(
    operands: Operands,
    merge: Callable[[Matrices], Tensor],
    rest: Callable[[Operands, tuple[int, ...]], Tensor],
) -> Tensor:
    """Return τ, of every matrix by `merge`, of a tensor without a spectrum by `rest`; 0 where no parent takes part.

    A parent of weight 0 takes no part: it is not read, and does not count.
    """
    inputs = taking_part(operands)
    if not inputs:
        return torch.zeros_like(operands.task_origin)
    if not has_spectrum(operands):
        return rest(operands, inputs)
    if operands.task_origin.ndim == 2:
        return merge(Matrices(operands, inputs, None))
    return torch.stack([merge(Matrices(operands, inputs, e)) for e in range(len(operands.task_origin))])


def taking_part(operands: Operands) -> tuple[int, ...]:
    """Return which inputs have a weight other than 0."""
    return tuple(i for i, weight in enumerate(operands.numbers("weight")) if weight != 0.0)


def has_spectrum(operands: Operands) -> bool:
    """Return whether a tensor is a matrix, or a stack of matrices, inside a layer (or not of a model at all)."""
    shape = operands.tensors[0].shape
    inside = operands.layer is not None or not operands.name
    return inside and len(shape) in (2, 3) and min(shape[-2:]) > 1


def mean_of_deltas(operands: Operands, inputs: tuple[int, ...]) -> Tensor:
    """Return Σ wᵢδᵢ / N over the N parents that take part."""
    return sum_of_deltas(operands, inputs).div_(len(inputs))


def sum_of_deltas(operands: Operands, inputs: tuple[int, ...]) -> Tensor:
    """Return Σ wᵢδᵢ over the parents that take part."""
    weights, origin = operands.numbers("weight"), operands.task_origin
    total = torch.zeros_like(origin)
    for i in inputs:
        total.add_(operands.tensors[i] - origin, alpha=weights[i])
    return total
