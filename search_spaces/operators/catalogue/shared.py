"""Parameters that many operators have, and the row of an operator of task vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from search_spaces.operators.operator import Operator
from search_spaces.operators.parameters import Bounds, Flag, Kind, OneOf, Real

share = partial(Real, low=0.0, high=1.0)
positive_share = partial(share, open_low=True)

WEIGHT = Real(meaning="the parent's share", gene=(0.0, 1.5), searched=True)
DENSITY = positive_share(
    meaning="share of the task vector's elements that is kept",
    default=1.0,
    gene=(0.2, 1.0),
    scale="quantised",
    searched=True,
)
LAMBDA = Real(meaning="scales the merged task vector", default=1.0, gene=(0.3, 1.8))
NORMALIZE = Flag(meaning="divide by the sum of the weights", default=False)
INT8_MASK = Flag(meaning="how mergekit stores its masks: read from its files, without effect here", default=False)
RESCALE = OneOf(
    meaning=(
        "how a sparsified task vector is scaled: by the inverse of the probability of being kept (density), back to "
        "its L1 norm (l1; mergekit's true), or not (none; mergekit's false)"
    ),
    default="none",
    choices=("density", "l1", "none"),
    also={True: "l1", False: "none"},
)
LINES: Mapping[str, Kind] = {
    "lines_alpha": Real(
        meaning="LiNeS: scale at the first layer", default=1.0, gene=(0.0, 1.5), whole_model=True, in_mergekit=False
    ),
    "lines_beta": Real(
        meaning="LiNeS: what the last layer's scale exceeds it by",
        default=0.0,
        gene=(-0.5, 1.5),
        whole_model=True,
        in_mergekit=False,
    ),
    "lines_head": OneOf(
        meaning="LiNeS: whether what follows the layers is scaled like their start (the paper) or their end",
        default="start",
        choices=("start", "end"),
        whole_model=True,
        in_mergekit=False,
    ),
}
COMPOSING: Mapping[str, Kind] = {
    "centre": OneOf(
        meaning="CART: whether task vectors are differences from the base or from the parents' mean",
        default="base",
        choices=("base", "mean"),
        in_mergekit=False,
    ),
    "cart_rank_share": positive_share(
        meaning="CART: share of a task vector's singular components that is kept, in matrices of the layers",
        default=1.0,
        gene=(0.02, 1.0),
        scale="quantised",
        in_mergekit=False,
    ),
    "svc_alpha": Real(
        meaning="SVC: α, how faintly a parent may count in the calibration of the merged singular values; 0 is none",
        default=0.0,
        low=0.0,
        gene=(0.5, 2.0),
        in_mergekit=False,
    ),
}


def task_operator(
    name: str,
    module: str = "",
    *,
    inputs: Mapping[str, Kind],
    own: Mapping[str, Kind],
    lambda_gene: Bounds = (0.3, 1.8),
    lambda_searched: bool = False,
    lambda_in_mergekit: bool = False,
    **row: Any,
) -> Operator:
    """Return the row of an operator whose method gives a merged task vector: it has λ, LiNeS, CART and SVC on top.

    One from outside this package gives its `method`, the others the module that has it; `row` is more of `Operator`.
    """
    own_lambda = replace(LAMBDA, gene=lambda_gene, searched=lambda_searched, in_mergekit=lambda_in_mergekit)
    scale = {"lambda": own_lambda, **LINES, **COMPOSING}
    return Operator(
        name=name, module=module, input_parameters=inputs, parameters={**own, **scale}, needs_base=True, **row
    )
