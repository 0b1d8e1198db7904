"""Averages and selections of the parents' weights; interpolation along great circles."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from search_spaces.operators.catalogue.shared import NORMALIZE, WEIGHT, share
from search_spaces.operators.operator import Operator
from search_spaces.operators.parameters import Flag, OneOf, Real, Whole

_WINDOW = Whole(meaning="how many of the last checkpoints take part; 0 means all", default=0, gene=(1, 8))

_average = partial(Operator, module="averages", elementwise=True)

AVERAGES = (
    _average(
        name="linear",
        input_parameters={"weight": WEIGHT},
        parameters={"normalize": replace(NORMALIZE, default=True)},
        divides_by_weights="normalize",
    ),
    _average(
        name="model_interpolation",
        in_mergekit=False,
        parameters={"t": Real(meaning="share of the second parent", gene=(-0.2, 1.3), searched=True)},
        n_inputs=(2, 2),
        ordered=True,
    ),
    _average(
        name="bcwi",
        in_mergekit=False,
        parameters={"alpha": Real(meaning="share of the old model, the first input", gene=(0.0, 1.0), searched=True)},
        n_inputs=(2, None),
        ordered=True,
    ),
    _average(
        name="mwa",
        in_mergekit=False,
        input_parameters={"metric": Real(meaning="the checkpoint's training loss (positive) or step (0 or more)")},
        parameters={
            "metric_is": OneOf(
                meaning="what the metric is: a loss counts by its inverse, a step as it is",
                default="loss",
                choices=("loss", "step"),
            ),
            "power": Real(
                meaning="exponent: 0 is the uniform mean", default=1.0, low=0.0, gene=(0.0, 8.0), searched=True
            ),
            "transform": OneOf(
                meaning="shares in proportion to the metric's power, or a softmax over the standardised loss or step",
                default="power",
                choices=("power", "softmax"),
            ),
            "window": _WINDOW,
        },
        ordered=True,
    ),
    _average(
        name="wsm",
        in_mergekit=False,
        parameters={
            "decay": OneOf(
                meaning="shape of the learning-rate decay that the average stands for; linear is the plain mean",
                default="linear",
                choices=("linear", "sqrt", "cosine", "power"),
            ),
            "exponent": Real(
                meaning="p of the decay 1 - x^p, for decay: power",
                default=1.0,
                low=0.0,
                open_low=True,
                gene=(0.25, 4.0),
                scale="log",
                searched=True,
            ),
            "window": _WINDOW,
        },
        ordered=True,
    ),
    _average(
        name="layer_swap",
        in_mergekit=False,
        by_layer=True,
        parameters={
            "bottom": Whole(
                meaning="first layers from the first parent", default=5, gene=(0, 8), whole_model=True, searched=True
            ),
            "top": Whole(
                meaning="last layers from the first parent", default=2, gene=(0, 8), whole_model=True, searched=True
            ),
            "bottom_transition": Whole(
                meaning="layers that are mixed after the bottom ones", default=1, gene=(0, 4), whole_model=True
            ),
            "top_transition": Whole(
                meaning="layers that are mixed before the top ones", default=1, gene=(0, 4), whole_model=True
            ),
            "transition_weight": share(
                meaning="the second parent's share where layers are mixed", default=0.5, gene=(0.0, 1.0)
            ),
            "edge_source": OneOf(
                meaning="where embeddings, final norm and head come from: the outer parent (first), inner, or the mean",
                default="outer",
                choices=("outer", "inner", "mean"),
                whole_model=True,
            ),
        },
        n_inputs=(2, 2),
        ordered=True,
    ),
    _average(
        name="passthrough",
        input_parameters={"scale": Real(meaning="factor", default=1.0, gene=(0.0, 1.5))},
        n_inputs=(1, 1),
        ordered=True,
    ),
)


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
