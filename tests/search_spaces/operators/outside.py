"""An operator as another package has it."""

from __future__ import annotations

from torch import Tensor

from search_spaces.operators.catalogue.shared import WEIGHT, task_operator
from search_spaces.operators.operator import Operands
from search_spaces.operators.parameters import Real


def clipped(operands: Operands) -> Tensor:
    """Return τ = Σ wᵢδᵢ, no element further from zero than `most`."""
    merged = operands.task_origin.new_zeros(operands.task_origin.shape)
    for tensor, weight in zip(operands.tensors, operands.numbers("weight"), strict=True):
        merged += weight * (tensor - operands.task_origin)
    return merged.clamp_(-operands.number("most"), operands.number("most"))


MOST = Real(meaning="the largest change of an element", default=0.1, low=0.0, gene=(0.01, 1.0), scale="log")
CLIPPED = task_operator("clipped", method=clipped, inputs={"weight": WEIGHT}, own={"most": MOST}, in_mergekit=False)
NO_OPERATOR = clipped
