"""Merging task vectors: δᵢ = θᵢ - θ₀, sparsified to δ̂ᵢ, combined to τ, and added to the base: θ = θ₀ + λτ.

The four methods are one pipeline (mergekit's "generalised task arithmetic"): which elements of each δᵢ survive, whether
parents must agree on a sign, and whether the sum is divided by the weights. Only a few accumulators are held, never a
stack of K task vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from search_spaces.operators import sparsify
from search_spaces.operators.averages import VANISHING_SUM
from search_spaces.operators.operator import Operands

# Below this share of Σ|wᵢ| the weights of agreeing parents cancel, and dividing by their sum would explode.
CANCELLING_SHARE = 1e-3


def task_arithmetic(operands: Operands) -> Tensor:
    """Return θ₀ + λ Σ wᵢδᵢ.

    Reference: Ilharco et al. 2023, "Editing Models with Task Arithmetic" (arXiv 2212.04089), section 2.
    """
    return _merge(operands, _difference, _sum)


def ties(operands: Operands) -> Tensor:
    """Return θ₀ + λτ, τ the mean of the trimmed task vectors that agree with the elected sign.

    Each δᵢ keeps its k largest elements (`sparsify.n_kept`), the sign of Σ wᵢδ̂ᵢ is elected (0 counts as +), and τ is
    Σ wᵢδ̂ᵢ / Σ wᵢ over the parents of that sign, or the sum alone without `normalize`. The paper trims over the whole
    model and has no weights; trimming per tensor and weighting follow mergekit.

    Reference: Yadav et al. 2023, "TIES-Merging" (arXiv 2306.01708), algorithm 1.
    """
    return _merge(operands, _trimmed, _agreeing)


def dare_linear(operands: Operands) -> Tensor:
    """Return θ₀ + λ Σ wᵢδ̂ᵢ, each δ̂ᵢ a random share of δᵢ.

    `rescale` "density" multiplies by 1/density, so that E δ̂ᵢ = δᵢ (the paper); "l1" restores the L1 norm (mergekit).

    Reference: Yu et al. 2024, "Language Models are Super Mario" (DARE, arXiv 2311.03099), equations 2 to 4.
    """
    return _merge(operands, _dropped, _sum)


def dare_ties(operands: Operands) -> Tensor:
    """Return θ₀ + λτ, τ as in `ties` over random shares of the task vectors, with no trimming by magnitude.

    Reference: Yu et al. 2024 (arXiv 2311.03099), section 3; one sparsification instead of two as in mergekit.
    """
    return _merge(operands, _dropped, _agreeing)


def _merge(
    operands: Operands,
    sparse: Callable[[Operands, int], Tensor],
    combine: Callable[[Operands, Iterator[Tensor]], Tensor],
) -> Tensor:
    origin, scale = operands.task_origin, operands.number("lambda")
    if scale == 0.0:
        return origin.clone()
    deltas = (sparse(operands, i) for i in range(len(operands.tensors)))
    return combine(operands, deltas).mul_(scale).add_(origin)


def _difference(operands: Operands, i: int) -> Tensor:
    return operands.tensors[i] - operands.task_origin


def _trimmed(operands: Operands, i: int) -> Tensor:
    delta, density = _difference(operands, i), operands.numbers("density")[i]
    if density == 1.0:
        return delta
    norm = _norm_for(operands, delta)
    kept = operands.trims(i, density) if operands.trims else sparsify.trim(delta, density)
    return _rescaled(operands, sparsify.keep_largest(delta, kept), density=density, norm_before=norm)


def _dropped(operands: Operands, i: int) -> Tensor:
    delta, density = _difference(operands, i), operands.numbers("density")[i]
    if density == 1.0 or delta.numel() < sparsify.FEWEST_TO_DROP_FROM:
        return delta
    norm = _norm_for(operands, delta)
    kept = sparsify.drop_randomly(delta, density, operands.generators(i))
    return _rescaled(operands, kept, density=density, norm_before=norm)


def _norm_for(operands: Operands, delta: Tensor) -> float:
    return sparsify.l1_norm(delta) if operands.parameters["rescale"] == "l1" else 0.0


def _rescaled(operands: Operands, delta: Tensor, *, density: float, norm_before: float) -> Tensor:
    rescale = cast(sparsify.Rescale, operands.parameters["rescale"])
    if rescale == "none":
        return delta
    if rescale == "density":
        return delta.div_(density)
    return delta.mul_(sparsify.l1_gain(norm_before, sparsify.l1_norm(delta)))


def _sum(operands: Operands, deltas: Iterator[Tensor]) -> Tensor:
    weights = operands.numbers("weight")
    total = torch.zeros_like(operands.task_origin)
    for delta, weight in zip(deltas, weights, strict=True):
        total.add_(delta, alpha=weight)
    if operands.parameters["normalize"] and abs(sum(weights)) >= VANISHING_SUM:
        total.div_(sum(weights))
    return total


def _agreeing(operands: Operands, deltas: Iterator[Tensor]) -> Tensor:
    """Return Σ mᵢwᵢδ̂ᵢ (over Σ mᵢwᵢ if `normalize`), mᵢ = [sign(wᵢδ̂ᵢ) = elected sign], in one pass.

    Positive and negative votes are summed apart: the sum of both elects the sign, and the winning side is the result.
    """
    weights, normalise = operands.numbers("weight"), bool(operands.parameters["normalize"])
    sides = [_Side.empty(operands.task_origin, normalise=normalise, signed=min(weights) < 0.0) for _ in range(2)]
    for delta, weight in zip(deltas, weights, strict=True):
        vote = delta.mul_(weight)
        sides[0].add(vote.clamp(min=0.0), weight)
        sides[1].add(vote.clamp(max=0.0), weight)
    positive, negative = sides
    elected = positive.total + negative.total >= 0.0
    total = torch.where(elected, positive.total, negative.total)
    return total.div_(torch.where(elected, positive.divisor(), negative.divisor())) if normalise else total


@dataclass
class _Side:
    """The votes of one sign.

    Attributes:
        total: Σ wᵢδ̂ᵢ.
        weight: Σ wᵢ over the elements that voted; None when nobody will divide by it.
        size: Σ |wᵢ|; None when it equals `weight`.
    """

    total: Tensor
    weight: Tensor | None
    size: Tensor | None

    @staticmethod
    def empty(like: Tensor, *, normalise: bool, signed: bool) -> _Side:
        return _Side(
            torch.zeros_like(like),
            torch.zeros_like(like) if normalise else None,
            torch.zeros_like(like) if normalise and signed else None,
        )

    def add(self, votes: Tensor, weight: float) -> None:
        self.total.add_(votes)
        if self.weight is not None:
            voted = votes != 0.0
            self.weight.add_(voted, alpha=weight)
            if self.size is not None:
                self.size.add_(voted, alpha=abs(weight))

    def divisor(self) -> Tensor:
        assert self.weight is not None
        divisor = self.weight
        if self.size is not None:
            divisor = torch.where(divisor.abs() < CANCELLING_SHARE * self.size, self.size, divisor)
        return torch.where(divisor == 0.0, 1.0, divisor)
