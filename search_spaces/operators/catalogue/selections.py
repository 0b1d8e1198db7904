"""Task vectors combined by other rules than a pipeline: selections, competitions, angles."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from search_spaces.operators.catalogue.shared import DENSITY, INT8_MASK, WEIGHT, positive_share, share, task_operator
from search_spaces.operators.catalogue.task_vectors import TRIM_SCOPE
from search_spaces.operators.parameters import Flag, Kind, OneOf, Real, Whole

_PRIORITY = replace(WEIGHT, default=1.0, gene=(0.2, 2.0))
_AGREEMENT: dict[str, Kind] = {
    "mask_threshold": Real(
        meaning="λ of the masks: a parent claims what is larger than this share of the others' sum",
        default=0.4,
        low=0.0,
        gene=(0.1, 1.0),
        searched=True,
    ),
    "agreement": Whole(meaning="how many parents must claim an element", default=2, gene=(0, 4)),
}

_ACTIVE = Real(
    meaning="elements up to this size count as unchanged, in the weights' unit",
    default=1e-5,
    low=0.0,
    gene=(1e-7, 1e-4),
    scale="log",
    searched=True,
)

_selection = partial(task_operator, module="selections")

SELECTIONS = (
    _selection(
        "model_stock",
        inputs={},
        own={
            "filter_wise": Flag(meaning="one ratio per row instead of per tensor", default=False, searched=True),
            "mean_of": OneOf(
                meaning="what is averaged over the pairs of parents: cosines (mergekit) or angles",
                default="cosines",
                choices=("cosines", "angles"),
                in_mergekit=False,
            ),
            "clamp": Flag(
                meaning="keep the ratio within [0, 1], where the formula leaves it for opposed task vectors",
                default=True,
                in_mergekit=False,
            ),
        },
        lambda_gene=(0.5, 2.0),
        n_inputs=(2, None),
        mergekit_defaults={"clamp": False},
        caution=("it gives nearly the base back where task vectors are orthogonal, as of experts in different tasks"),
    ),
    task_operator(
        "sce",
        "sce",
        elementwise=True,
        inputs={},
        own={
            "select_topk": share(
                meaning="share of the elements, by variance between the parents, that is merged",
                default=1.0,
                gene=(0.05, 1.0),
                scale="quantised",
                searched=True,
            ),
            "select": OneOf(
                meaning="what the selection restricts: what is merged (mergekit), or the parents' shares (FuseChat)",
                default="elements",
                choices=("elements", "weights"),
                in_mergekit=False,
            ),
            "int8_mask": INT8_MASK,
        },
        lambda_gene=(0.3, 1.5),
    ),
    task_operator(
        "magmax",
        "task_vectors",
        elementwise=True,
        in_mergekit=False,
        inputs={"weight": _PRIORITY},
        own={"priority_only": Flag(meaning="weights decide who wins, but do not scale what wins", default=False)},
        lambda_gene=(0.2, 1.2),
        ordered=True,
    ),
    _selection(
        "pcb",
        in_mergekit=False,
        inputs={"weight": replace(_PRIORITY, gene=(0.5, 1.8))},
        own={
            "ratio": positive_share(
                meaning="share of each parent's elements that survives the competition",
                default=0.1,
                gene=(0.02, 0.5),
                scale="log",
                searched=True,
            ),
            "clip": Real(
                meaning="share of the smallest and of the largest magnitudes that is clipped",
                default=0.01,
                low=0.0,
                high=0.5,
            ),
            "cross": OneOf(
                meaning="what a parent competes with: the sum of task vectors, or of signs (the vision script)",
                default="sum",
                choices=("sum", "signs"),
            ),
        },
        lambda_gene=(0.5, 1.8),
        lambda_searched=True,
        caution="it keeps few elements, and at λ = 1 merges of different tasks stay near the base: search λ",
        cured_by=("lambda",),
    ),
    _selection("consensus_ta", in_mergekit=False, inputs={"weight": _PRIORITY}, own=_AGREEMENT, lambda_gene=(0.1, 1.5)),
    _selection(
        "consensus_ties",
        in_mergekit=False,
        inputs={"weight": _PRIORITY, "density": replace(DENSITY, default=0.2)},
        own={**_AGREEMENT, "scope": TRIM_SCOPE},
        lambda_gene=(0.1, 1.5),
    ),
    _selection(
        "nearswap",
        inputs={},
        own={
            "t": Real(
                meaning="differences up to this size move fully", low=0.0, gene=(1e-4, 1e-2), scale="log", searched=True
            )
        },
        n_inputs=(1, 1),
    ),
    _selection(
        "arcee_fusion",
        inputs={},
        own={
            "iqr_factor": Real(
                meaning="elements count as important from the median plus this many interquartile ranges",
                default=1.5,
                low=0.0,
                gene=(0.0, 4.0),
                searched=True,
                in_mergekit=False,
            )
        },
        n_inputs=(1, 1),
    ),
    _selection("ram", inputs={}, own={"epsilon": _ACTIVE}),
    _selection(
        "ramplus_tl",
        inputs={},
        own={
            "r": Real(
                meaning="how much what one parent alone changed grows with what it shares",
                default=0.1,
                gene=(0.0, 0.5),
                searched=True,
            ),
            "alpha": Real(
                meaning="the ratio of shared to unique elements counts up to this",
                default=0.2,
                low=0.0,
                gene=(0.0, 1.0),
            ),
            "epsilon": _ACTIVE,
        },
    ),
)
