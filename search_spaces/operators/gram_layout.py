"""Which axes of a weight are the inputs that a Gram matrix is of.

The statistic of a linear layer is its input's Gram matrix G = E[x xᵀ], (n, n). It is found by its size where a weight
(o, n) keeps its inputs: along the last axis (torch.nn.Linear), along the one before (GPT-2's Conv1D, stored (n, o)), or
over all axes but the first (convolutions: c/groups · kernel = n). Stacks of experts (E, o, n) and groups of
convolutions have a Gram each, (E, n, n), or share one. Of square weights the last axis is the inputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from search_spaces.errors import SpaceError


@dataclass(frozen=True)
class Layout:
    """How a weight is a stack of matrices whose last axis is the inputs."""

    shape: tuple[int, ...]  # of the weight
    stack: tuple[int, int, int]  # (matrices, o, n)
    input_first: bool  # whether it is stored (..., n, o)

    @staticmethod
    def of(shape: tuple[int, ...], gram: tuple[int, ...]) -> Layout:
        """Return where a weight of a shape keeps the inputs of a Gram of a shape; raise a `SpaceError` if it cannot."""
        n, grams = gram[-1], math.prod(gram[:-2])
        o, last = (math.prod(shape[1:-1]), shape[-1]) if len(shape) > 1 else (0, 0)
        experts = shape[0] if len(shape) == 3 else 1
        if len(shape) in (2, 3) and grams in (1, experts):
            if last == n:
                return Layout(shape, (experts, shape[-2], n), False)
            if shape[-2] == n:
                return Layout(shape, (experts, last, n), True)
        if len(shape) > 2 and o * last == n and shape[0] % grams == 0:
            return Layout(shape, (grams, shape[0] // grams, n), False)
        raise SpaceError(
            f"statistics: expected a Gram matrix that fits weights of shape {shape}, found {gram}; the parent's "
            "statistics were collected from another model"
        )

    def rows(self, weight: Tensor) -> Tensor:
        """Return the weight as (matrices, o, n)."""
        return (weight.mT if self.input_first else weight).reshape(self.stack)

    def restored(self, rows: Tensor) -> Tensor:
        """Return (matrices, o, n) in the weight's own shape."""
        if not self.input_first:
            return rows.reshape(self.shape)
        return rows.reshape(*self.shape[:-2], *self.stack[1:]).mT.contiguous()
