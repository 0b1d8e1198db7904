"""Scaling a merged task vector after the merge: by one number, or by a line over the depth (LiNeS)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search_spaces.operators.operator import Operands


def gain(operands: Operands) -> float:
    """Return what the merged task vector is multiplied by: λ·(α + β·x), x the depth from 0 (first layer) to 1 (last).

    α and β are LiNeS: its single-task form is α + β = 1. A model of one layer has x = 1. Tensors outside the layers
    have x = 0 as in the paper, except that `lines_head: end` gives those after the layers (final norm, head) x = 1.

    Reference: Wang et al. 2025, "LiNeS: Post-training Layer Scaling" (arXiv 2410.17146), equation 3.
    """
    depth = _depth(operands)
    return operands.number("lambda") * (operands.number("lines_alpha") + operands.number("lines_beta") * depth)


def _depth(operands: Operands) -> float:
    if operands.layer is not None:
        index, n_layers = operands.layer
        return index / (n_layers - 1) if n_layers > 1 else 1.0
    return 1.0 if operands.parameters["lines_head"] == "end" and operands.side == "after" else 0.0
