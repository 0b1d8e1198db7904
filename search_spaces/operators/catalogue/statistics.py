"""Operators that read what the parents compute on prompts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from search_spaces.operators.catalogue.shared import WEIGHT, share
from search_spaces.operators.operator import Operator
from search_spaces.operators.parameters import Kind, Real

_WEIGHT = replace(
    WEIGHT, meaning="how much the parent counts", default=1.0, low=0.0, gene=(0.1, 10.0), scale="log", searched=True
)
_RIDGE = Real(
    meaning="ρ: how strongly the weighted mean holds, as a share of the inputs' mean power",
    default=1e-4,
    low=0.0,
    open_low=True,
    gene=(1e-6, 1e-1),
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

STATISTICS: tuple[Operator, ...] = (
    _average(name="regmean", module="least_squares", statistics=("gram",), parameters=_REGRESSION),
    _average(name="regmean_plus", module="least_squares", statistics=("merged_gram",), parameters=_REGRESSION),
)
