"""Pipelines of task vectors: sparsify, scale, combine."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from search_spaces.operators.catalogue.shared import (
    DENSITY,
    INT8_MASK,
    NORMALIZE,
    RESCALE,
    WEIGHT,
    positive_share,
    share,
    task_operator,
)
from search_spaces.operators.parameters import Kind, OneOf, Real

_COMMON: dict[str, Kind] = {"normalize": NORMALIZE, "int8_mask": INT8_MASK}
_NORMALISED: dict[str, Kind] = {**_COMMON, "normalize": replace(NORMALIZE, default=True)}
_SPARSE: dict[str, Kind] = {"weight": WEIGHT, "density": DENSITY}
_BY_DENSITY = replace(RESCALE, default="density")
_CONSENSUS: dict[str, Kind] = {
    "divisor": OneOf(
        meaning="what `normalize` divides by: the agreeing parents' weights, their number, or all parents' number",
        default="weights",
        choices=("weights", "agreeing", "parents"),
        in_mergekit=False,
    ),
    "zero_sign": OneOf(
        meaning="the sign of a vote that sums to zero: plus, the tensor's most common sign, or none (stays the base)",
        default="plus",
        choices=("plus", "majority", "drop"),
        in_mergekit=False,
    ),
}
TRIM_SCOPE = OneOf(
    meaning="what competes for being kept: one tensor's elements, or those of the whole model",
    default="tensor",
    choices=("tensor", "global"),
    in_mergekit=False,
)
_SECOND_TRIM = positive_share(
    meaning="share of the kept elements' tensor that a trim by magnitude keeps afterwards (MergeLM: 0.2); 1 trims none",
    default=1.0,
    in_mergekit=False,
)
_EPSILON = Real(
    meaning="half the width of the band of keeping probabilities around density; reduced where the band leaves (0, 1)",
    default=0.15,
    low=0.0,
    high=0.5,
    gene=(0.0, 0.3),
)
_DELLA_INPUTS: dict[str, Kind] = {**_SPARSE, "density": replace(DENSITY, gene=(0.1, 0.95)), "epsilon": _EPSILON}
_GAMMA = share(
    meaning="share of the largest elements that is dropped", default=0.01, gene=(0.0, 0.1), scale="quantised"
)
_OUTLIER_INPUTS: dict[str, Kind] = {**_SPARSE, "gamma": _GAMMA}
_OUTLIER_SCOPE = OneOf(
    meaning="what competes for being kept: a whole tensor's elements (mergekit), or each row's (the authors)",
    default="tensor",
    choices=("tensor", "row"),
    in_mergekit=False,
)
_pipeline = partial(task_operator, module="task_vectors", elementwise=True, lambda_in_mergekit=True)

TASK_VECTORS = (
    _pipeline("task_arithmetic", inputs={"weight": WEIGHT}, own=_COMMON),
    _pipeline("ties", inputs=_SPARSE, own={**_NORMALISED, "rescale": RESCALE, "scope": TRIM_SCOPE, **_CONSENSUS}),
    _pipeline(
        "dare_linear",
        random=True,
        inputs=_SPARSE,
        own={**_COMMON, "rescale": _BY_DENSITY},
        mergekit_defaults={"rescale": "l1"},
    ),
    _pipeline(
        "dare_ties",
        random=True,
        inputs=_SPARSE,
        own={**_COMMON, "rescale": _BY_DENSITY, "second_trim": _SECOND_TRIM, **_CONSENSUS},
        mergekit_defaults={"rescale": "l1"},
    ),
    _pipeline(
        "della_linear",
        random=True,
        inputs=_DELLA_INPUTS,
        own={**_COMMON, "rescale": _BY_DENSITY},
        mergekit_defaults={"rescale": "l1"},
    ),
    _pipeline(
        "della",
        random=True,
        inputs=_DELLA_INPUTS,
        own={**_NORMALISED, "rescale": _BY_DENSITY, **_CONSENSUS},
        mergekit_defaults={"rescale": "l1"},
    ),
    _pipeline("breadcrumbs", inputs=_OUTLIER_INPUTS, own={**_COMMON, "rescale": RESCALE, "scope": _OUTLIER_SCOPE}),
    _pipeline(
        "breadcrumbs_ties",
        inputs=_OUTLIER_INPUTS,
        own={**_COMMON, "rescale": RESCALE, "scope": _OUTLIER_SCOPE, **_CONSENSUS},
    ),
    _pipeline(
        "composed",
        random=True,
        lambda_in_mergekit=False,
        in_mergekit=False,
        inputs={**_SPARSE, "epsilon": _EPSILON, "gamma": _GAMMA},
        own={
            "sparsify": OneOf(
                meaning="which elements survive: all, the largest, random ones, by rank and chance, all but outliers",
                default="none",
                choices=("none", "magnitude", "random", "ranked", "outliers"),
                searched=True,
            ),
            "consensus": OneOf(
                meaning="sum, sum over the parents of the elected sign, or the largest magnitude",
                default="sum",
                choices=("sum", "sign", "largest"),
                searched=True,
            ),
            "normalize": NORMALIZE,
            "rescale": _BY_DENSITY,
            **_CONSENSUS,
        },
    ),
)
