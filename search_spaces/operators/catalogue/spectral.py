"""Operators on the singular value decomposition of task vectors."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from search_spaces.operators.catalogue.shared import LAMBDA, WEIGHT, positive_share, share, task_operator
from search_spaces.operators.operator import Operator
from search_spaces.operators.parameters import Kind, OneOf, Real, Whole

_WEIGHT = replace(
    WEIGHT, meaning="scales the parent's task vector; 0 leaves the parent out", default=1.0, searched=False
)
_task_operator = partial(task_operator, spectral=True, in_mergekit=False)
_ISOTROPIC: dict[str, Any] = {
    "lambda_gene": (0.5, 4.0),
    "lambda_searched": True,
    "caution": "a flat spectrum changes the length of the task vector, and λ = 1 is the scale of no paper: search λ",
    "cured_by": ("lambda",),
}
_FLATNESS = share(
    meaning="γ: from the spectrum of the sum (0) to a flat one (1, the paper)",
    default=1.0,
    gene=(0.0, 1.0),
    searched=True,
)
_RANK_SHARE = positive_share(
    meaning="κ: share of the min(o, n)/N components per task that is kept",
    default=1.0,
    gene=(0.1, 1.0),
    scale="quantised",
)
_INTERFERENCE: dict[str, Kind] = {
    "solver": OneOf(
        meaning=(
            "how far the descent goes: to the minimum along all but the smallest eigenvalues (cut), for a time, or by "
            "the published iterations (adam, sgd), for comparison"
        ),
        default="cut",
        choices=("cut", "time", "adam", "sgd"),
    ),
    "cut": positive_share(
        meaning="solver: cut; directions of eigenvalues up to this share of the largest keep the start",
        default=0.01,
        gene=(1e-4, 0.3),
        scale="log",
    ),
    "time": Real(
        meaning="solver: time; of the gradient flow, eigenvalues being at most the number of parents",
        default=100.0,
        low=0.0,
        gene=(1.0, 1e4),
        scale="log",
    ),
    "initial": OneOf(
        meaning="where the descent starts: at the mean or the sum of the task vectors",
        default="mean",
        choices=("mean", "sum"),
    ),
    "iterations": Whole(meaning="solver: adam or sgd; steps", default=300, low=1),
    "rate": Real(meaning="solver: adam or sgd; the learning rate", default=1e-5, low=0.0, open_low=True),
}

SPECTRAL: tuple[Operator, ...] = (
    _task_operator(
        "iso_c", "spectral.isotropic", inputs={"weight": _WEIGHT}, own={"flatness": _FLATNESS}, **_ISOTROPIC
    ),
    _task_operator(
        "iso_cts",
        "spectral.isotropic",
        inputs={"weight": _WEIGHT},
        own={
            "common": share(
                meaning="share of the directions that all tasks have in common", default=0.8, gene=(0.2, 1.0)
            ),
            "flatness": _FLATNESS,
        },
        **_ISOTROPIC,
    ),
    _task_operator(
        "tsv_m",
        "spectral.task_singular_vectors",
        inputs={"weight": replace(_WEIGHT, searched=True)},
        own={"rank_share": _RANK_SHARE},
        lambda_gene=(0.2, 3.0),
    ),
    _task_operator(
        "r_tsvm",
        "spectral.task_singular_vectors",
        inputs={"weight": _WEIGHT},
        own={
            "outlier_power": Real(
                meaning="p: how much parents with more outliers count; below 0, less",
                default=1.0,
                gene=(-1.0, 1.0),
                searched=True,
            ),
            "outlier_sigmas": Real(
                meaning="standard deviations of |δ| above its mean from which an element is an outlier",
                default=3.0,
                low=0.0,
                gene=(2.0, 4.0),
            ),
            "smallest_rank": share(
                meaning="the share of its components that a task keeps when it is as sparse as can be",
                default=0.5,
                gene=(0.1, 1.0),
            ),
            "sparse_below": Real(
                meaning="elements below this times the root mean square count as sparse", default=0.1, low=0.0
            ),
            "rank_share": _RANK_SHARE,
        },
        lambda_gene=(0.2, 3.0),
    ),
    _task_operator(
        "star",
        "spectral.truncation",
        inputs={
            "weight": _WEIGHT,
            "eta": Real(
                meaning="percent of the nuclear norm that the components kept hold",
                default=40.0,
                low=0.0,
                high=100.0,
                open_low=True,
                gene=(5.0, 100.0),
                searched=True,
            ),
        },
        own={},
        lambda_gene=(0.3, 1.5),
    ),
    _task_operator(
        "adarank",
        "spectral.truncation",
        inputs={
            "weight": _WEIGHT,
            "rank_share": replace(
                _RANK_SHARE, meaning="share of the singular components that is kept", default=None, searched=True
            ),
        },
        own={
            "skip_share": Real(
                meaning="share of the singular components, the leading ones, that is dropped",
                default=0.0,
                low=0.0,
                high=0.9,
                gene=(0.0, 0.1),
            )
        },
        lambda_gene=(0.1, 1.5),
    ),
    _task_operator(
        "rank_scaled",
        "spectral.rank_scaling",
        inputs={
            "weight": replace(_WEIGHT, searched=True),
            "draw": Whole(
                meaning="0: the task vector; else its singular components times the numbers in [0, 1) of this draw",
                default=0,
            ),
        },
        own={},
        lambda_gene=(0.3, 1.5),
    ),
    Operator(
        name="lore",
        module="spectral.truncation",
        spectral=True,
        in_mergekit=False,
        input_parameters={"weight": replace(_WEIGHT, searched=True)},
        parameters={
            "kappa": Real(
                meaning="what singular values are lessened by, as a share of the largest",
                default=0.01,
                low=0.0,
                gene=(1e-4, 0.5),
                scale="log",
            ),
            "iterations": Whole(meaning="most steps of the descent", default=20, low=1),
            "lambda": replace(LAMBDA, meaning="scales the sum of the task vectors", gene=(0.1, 1.5)),
        },
    ),
    _task_operator(
        "opcm",
        "spectral.projection",
        inputs={
            "weight": _WEIGHT,
            "priority": Real(
                meaning="parents are merged in descending order of it: the order as one number per parent",
                default=0.5,
                gene=(0.0, 1.0),
                searched=True,
            ),
        },
        own={
            "alpha": share(
                meaning="share of the merged spectrum that a later parent may not touch", default=0.5, gene=(0.0, 0.95)
            )
        },
        lambda_gene=(0.2, 2.0),
        ordered=True,
    ),
    _task_operator(
        "wudi",
        "spectral.interference",
        inputs={"weight": replace(_WEIGHT, gene=(0.5, 1.5), searched=True)},
        own={
            **_INTERFERENCE,
            "rank_share": replace(_RANK_SHARE, meaning="share of a task vector's singular components that is kept"),
        },
    ),
    _task_operator(
        "optmerge",
        "spectral.interference",
        inputs={"weight": replace(_WEIGHT, gene=(0.5, 1.5), searched=True)},
        own={**_INTERFERENCE, "rank_share": _RANK_SHARE},
    ),
    _task_operator(
        "doge",
        "spectral.shared_subspace",
        inputs={"weight": _WEIGHT},
        own={
            "eta": Real(
                meaning="η: scale of the task vectors, made equally long, before they are corrected",
                default=0.3,
                low=0.0,
                open_low=True,
                gene=(0.1, 1.0),
                scale="log",
                searched=True,
            ),
            "density": positive_share(
                meaning="share of each task vector's elements, the largest, that is kept",
                default=0.3,
                gene=(0.1, 1.0),
                scale="quantised",
            ),
            "shared": share(
                meaning="size of the shared subspace, as a share of min(o, n)", default=1 / 6, gene=(0.0, 0.5)
            ),
            "iterations": Whole(meaning="most steps of the descent", default=100, low=1),
        },
    ),
)
