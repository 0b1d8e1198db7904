"""Operators that read what the parents compute on prompts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from search_spaces.operators.catalogue.shared import DENSITY, NORMALIZE, WEIGHT, share, task_operator
from search_spaces.operators.operator import Operator
from search_spaces.operators.parameters import Flag, Kind, OneOf, Real, Whole

_WEIGHT = replace(
    WEIGHT, meaning="how much the parent counts", default=1.0, low=0.0, gene=(0.1, 10.0), scale="log", searched=True
)
_RIDGE = Real(
    meaning="ρ: how strongly the weighted mean holds, as a share of the inputs' mean power",
    default=1e-4,
    low=0.0,
    open_low=True,
    gene=(1e-5, 1e-1),
    scale="log",
)
_OFF_DIAGONAL = share(
    meaning="a: share of the inputs' covariances that counts; 0 leaves their powers alone",
    default=1.0,
    gene=(0.0, 1.0),
    searched=True,
)
_average = partial(Operator, in_mergekit=False, divides_by_weights="always", input_parameters={"weight": _WEIGHT})
_REGRESSION: dict[str, Kind] = {"off_diagonal": _OFF_DIAGONAL, "ridge": _RIDGE}
_task_operator = partial(task_operator, in_mergekit=False)
_POWER = Real(
    meaning="p: 0 is the weighted mean, 1 weighs by the statistic itself",
    default=1.0,
    low=0.0,
    gene=(0.0, 1.0),
    searched=True,
)
_FLOOR = Real(
    meaning="κ: what is added to the statistic, as a share of its mean over the tensor",
    default=1e-3,
    low=0.0,
    open_low=True,
    gene=(1e-8, 1.0),
    scale="log",
)

STATISTICS: tuple[Operator, ...] = (
    _average(name="regmean", module="least_squares", statistics=("gram",), parameters=_REGRESSION),
    _average(name="regmean_plus", module="least_squares", statistics=("merged_gram",), parameters=_REGRESSION),
    _task_operator(
        "mats",
        "matching",
        statistics=("gram", "output_gram"),
        divides_by_weights="always",
        inputs={"weight": _WEIGHT},
        own={
            "off_diagonal": _OFF_DIAGONAL,
            "outputs": Flag(
                meaning="whether the gradients at the outputs count too, else all outputs count alike", default=True
            ),
            "iterations": Whole(
                meaning="most steps of conjugate gradients; fewer stay nearer to the start",
                default=100,
                gene=(0, 200),
                searched=True,
            ),
            "start": OneOf(
                meaning="where they begin: at the weighted mean, or at a multiple of the task vectors' weighted sum",
                default="mean",
                choices=("mean", "sum"),
            ),
            "start_scale": Real(meaning="the multiple, for start: sum", default=0.3, gene=(0.0, 1.0)),
        },
    ),
    _task_operator(
        "fisher",
        "precision",
        statistics=("fisher",),
        divides_by_weights="always",
        inputs={"weight": _WEIGHT},
        own={
            "power": _POWER,
            "floor": _FLOOR,
            "scale": OneOf(
                meaning="in what unit parents are compared: their whole model's norm, or each tensor's mean",
                default="model",
                choices=("model", "tensor"),
            ),
        },
    ),
    _task_operator(
        "ota",
        "precision",
        statistics=("moments",),
        divides_by_weights="always",
        inputs={
            "weight": _WEIGHT,
            "density": replace(DENSITY, meaning="share of the elements in which the parent has a say", gene=(0.1, 1.0)),
        },
        own={"power": replace(_POWER, default=0.5, gene=(0.1, 1.0)), "floor": replace(_FLOOR, default=1e-6)},
    ),
    _task_operator(
        "sens_merging",
        "sensitivity",
        statistics=("sensitivity",),
        elementwise=True,
        inputs={"weight": replace(WEIGHT, meaning="scales the parent's task vector", default=1.0)},
        own={
            "temperature": Real(
                meaning="T: the lower, the more the most sensitive parent outweighs the others",
                default=2.0,
                low=0.0,
                open_low=True,
                gene=(0.01, 10.0),
                scale="log",
                searched=True,
            ),
            "transfer": Real(
                meaning="power of the distance to the other parents' answers; below 0, distance counts against",
                default=1.0,
                gene=(-1.0, 1.0),
            ),
            "normalize": NORMALIZE,
        },
    ),
)
