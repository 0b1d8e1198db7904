"""An operator of one's own: a pure function of tensors, and a row that says what it takes."""

from __future__ import annotations

import torch
from torch import Tensor

from search_spaces import Operands, Operator, Real


def middle(operands: Operands) -> Tensor:
    """Return (1 - pull)·mean + pull·(smallest + largest)/2 of the parents' weights, element by element."""
    parents = torch.stack([tensor.float() for tensor in operands.tensors])
    ends = (parents.amin(dim=0) + parents.amax(dim=0)) / 2
    return parents.mean(dim=0).lerp(ends, operands.number("pull"))


MIDDLE = Operator(
    name="middle",
    method=middle,
    parameters={
        "pull": Real(
            meaning="how far from the mean to the middle",
            default=0.5,
            low=0.0,
            high=1.0,
            gene=(0.0, 1.0),
            searched=True,
        )
    },
    n_inputs=(2, None),
    in_mergekit=False,
)
