"""Interpolation along great circles."""

from __future__ import annotations

from dataclasses import replace

from search_spaces.operators.catalogue.shared import WEIGHT
from search_spaces.operators.operator import Operator
from search_spaces.operators.parameters import Flag, Real, Whole

_DELTAS = Flag(
    meaning="work on the task vectors and add the base, instead of on the weights", default=False, in_mergekit=False
)

SPHERICAL = (
    Operator(
        name="slerp",
        module="spherical",
        parameters={
            "t": Real(meaning="position on the arc from the first parent to the second", gene=(0.0, 1.0), searched=True)
        },
        n_inputs=(2, 2),
        ordered=True,
    ),
    Operator(
        name="nuslerp",
        module="spherical",
        input_parameters={"weight": WEIGHT},
        parameters={
            "nuslerp_flatten": Flag(meaning="take the tensor as one vector", default=True),
            "nuslerp_row_wise": Flag(
                meaning="without flatten: interpolate columns (mergekit's code) instead of rows", default=False
            ),
            "deltas": _DELTAS,
        },
        n_inputs=(2, 2),
    ),
    Operator(
        name="multislerp",
        module="spherical",
        input_parameters={"weight": WEIGHT},
        parameters={
            "normalize_weights": Flag(meaning="divide by the sum of the weights", default=True),
            "eps": Real(meaning="norms up to this count as zero", default=1e-8, low=0.0, high=1.0),
            "deltas": _DELTAS,
        },
        divides_by_weights="normalize_weights",
    ),
    Operator(
        name="karcher",
        module="spherical",
        input_parameters={"weight": replace(WEIGHT, default=1.0, low=0.0, in_mergekit=False)},
        parameters={
            "max_iter": Whole(meaning="most iterations", default=10, low=1),
            "tol": Real(meaning="stop when a step is shorter, in radians", default=1e-5, low=0.0),
            "deltas": _DELTAS,
        },
        divides_by_weights="always",
    ),
)
