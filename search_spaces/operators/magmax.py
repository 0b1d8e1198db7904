"""MagMax: of every element the largest change."""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands


def magmax(operands: Operands) -> Tensor:
    """Return τ, element by element the wᵢδᵢ of largest magnitude; of equals the last.

    With `priority_only` the weights decide who wins, and δᵢ itself is what wins. The authors take λ = 0.5.

    Reference: Marczak et al. 2024, "MagMax" (arXiv 2407.06322), equation 3.
    """
    origin, priority_only = operands.task_origin, bool(operands.parameters["priority_only"])
    winner, largest = torch.zeros_like(origin), torch.zeros_like(origin)
    for tensor, weight in zip(operands.tensors, operands.numbers("weight"), strict=True):
        delta = tensor - origin
        vote = delta * weight
        wins = vote.abs() >= largest
        largest = torch.where(wins, vote.abs(), largest)
        winner = torch.where(wins, delta if priority_only else vote, winner)
    return winner
