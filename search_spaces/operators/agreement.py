"""How sparsified task vectors become one: their sum, or the sum of those that agree with an elected sign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from search_spaces.operators.averages import VANISHING_SUM
from search_spaces.operators.operator import Operands

# Below this share of Σ|wᵢ| the weights of agreeing parents cancel, and dividing by their sum would explode.
CANCELLING_SHARE = 1e-3


def total(operands: Operands, deltas: Iterator[Tensor]) -> Tensor:
    """Return Σ wᵢδ̂ᵢ, over Σ wᵢ if `normalize` (unless the weights cancel: then the sum)."""
    weights = operands.numbers("weight")
    summed = torch.zeros_like(operands.task_origin)
    for delta, weight in zip(deltas, weights, strict=True):
        summed.add_(delta.mul_(weight))  # apart, so that products are rounded whatever the machine can fuse
    if operands.parameters["normalize"] and abs(sum(weights)) >= VANISHING_SUM:
        summed.div_(sum(weights))
    return summed


def largest(operands: Operands, deltas: Iterator[Tensor]) -> Tensor:
    """Return, element by element, the wᵢδ̂ᵢ of largest magnitude; of equals the last."""
    winner = torch.zeros_like(operands.task_origin)
    for delta, weight in zip(deltas, operands.numbers("weight"), strict=True):
        vote = delta.mul_(weight)
        winner = torch.where(vote.abs() >= winner.abs(), vote, winner)
    return winner


def agreeing(operands: Operands, deltas: Iterator[Tensor]) -> Tensor:
    """Return Σ mᵢwᵢδ̂ᵢ, mᵢ = [sign(wᵢδ̂ᵢ) = elected sign], in one pass; with `normalize` over the `divisor`.

    The divisor is Σ mᵢwᵢ (weights), Σ mᵢ (agreeing) or the number of parents (parents). The elected sign is that of
    Σ wᵢδ̂ᵢ; where this is zero, `zero_sign` decides. Positive and negative votes are summed apart: the sum of both
    elects the sign, and the winning side is the result.
    """
    weights, chosen = operands.numbers("weight"), operands.parameters
    normalise, zero_sign = bool(chosen.get("normalize", False)), str(chosen.get("zero_sign", "plus"))
    divisor = str(chosen.get("divisor", "weights"))
    if not normalise or divisor == "parents":
        divisor = "none"
    sides = [_Side.empty(operands.task_origin, divisor, signed=min(weights) < 0.0) for _ in range(2)]
    for delta, weight in zip(deltas, weights, strict=True):
        vote = delta.mul_(weight)
        sides[0].add(vote.clamp(min=0.0), 1.0 if divisor == "agreeing" else weight)
        sides[1].add(vote.clamp(max=0.0), 1.0 if divisor == "agreeing" else weight)
    positive, negative = sides
    balance = positive.total + negative.total
    elected = _elected(balance, zero_sign)
    merged = torch.where(elected, positive.total, negative.total)
    if divisor != "none":
        merged.div_(torch.where(elected, positive.divisor(), negative.divisor()))
    elif normalise:
        merged.div_(len(weights))
    return merged.mul_(balance != 0.0) if zero_sign == "drop" else merged


def _elected(balance: Tensor, zero_sign: str) -> Tensor:
    """Return where plus is elected."""
    if zero_sign == "majority" and int(torch.sum(torch.sign(balance), dtype=torch.float64)) < 0:
        return balance > 0.0
    return balance >= 0.0


@dataclass
class _Side:
    """The votes of one sign.

    Attributes:
        total: Σ wᵢδ̂ᵢ.
        weight: Σ wᵢ, or the number, of those that voted, by element; None when nobody will divide by it.
        size: Σ |wᵢ|; None when it equals `weight`.
    """

    total: Tensor
    weight: Tensor | None
    size: Tensor | None

    @staticmethod
    def empty(like: Tensor, divisor: str, *, signed: bool) -> _Side:
        return _Side(
            torch.zeros_like(like),
            torch.zeros_like(like) if divisor != "none" else None,
            torch.zeros_like(like) if divisor == "weights" and signed else None,
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
