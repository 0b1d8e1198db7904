"""Layer swapping: the outer layers of one expert around the middle of another."""

from __future__ import annotations

from torch import Tensor

from search_spaces.operators.averages import weighted_sum
from search_spaces.operators.operator import Operands


def layer_swap(operands: Operands) -> Tensor:
    """Return the first parent's tensor in the outer layers, the second's in the middle, a mix in the layers between.

    Of L layers the `bottom` first and `top` last are the first parent's (the language expert), the
    `bottom_transition` and `top_transition` layers next to them are mixed, and the rest is the second parent's (the
    task expert). Where all this exceeds L, the transitions shrink first, then the top, then the bottom. What lies
    outside the layers follows `edge_source`, which the paper leaves open.

    Reference: Bandarkar et al. 2024, "Layer Swapping for Zero-Shot Cross-Lingual Transfer" (arXiv 2410.01335),
    section 3; its setting for 32 layers is 5, 2, 1 and 1.
    """
    if operands.layer is None:
        share = {"outer": 0.0, "inner": 1.0, "mean": 0.5}[str(operands.parameters["edge_source"])]
    else:
        share = _inner_share(operands, *operands.layer)
    return weighted_sum(operands.tensors, [1.0 - share, share])


def _inner_share(operands: Operands, layer: int, n_layers: int) -> float:
    """Return the second parent's share in a layer."""
    names = ("bottom", "top", "bottom_transition", "top_transition")
    bottom, top, above, below = (int(operands.parameters[name]) for name in names)
    bottom = min(bottom, n_layers)
    top = min(top, n_layers - bottom)
    above = min(above, n_layers - bottom - top)
    below = min(below, n_layers - bottom - top - above)
    if layer < bottom or layer >= n_layers - top:
        return 0.0
    mixed = layer < bottom + above or layer >= n_layers - top - below
    return operands.number("transition_weight") if mixed else 1.0
