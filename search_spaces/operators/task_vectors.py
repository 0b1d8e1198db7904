"""Merging task vectors δᵢ = θᵢ - θ₀, sparsified to δ̂ᵢ, into one: τ, which `Operator.apply` scales and adds to the base.

The methods are one pipeline (mergekit's "generalised task arithmetic"): which elements of each δᵢ survive and how they
are scaled, and whether parents must agree on a sign. `composed` has both choices as parameters; the others are named
points of it. All of them are elementwise: they return what the kernels are to do.
"""

from __future__ import annotations

from typing import Literal, cast

import torch

from search_spaces.operators.averages import VANISHING_SUM
from search_spaces.operators.kernels.blocks import merged_deltas
from search_spaces.operators.kernels.form import Consensus, Divisor, Form, Merge, Survivors
from search_spaces.operators.operator import Operands
from search_spaces.operators.survivors import TaskVectors
from search_spaces.recipes.rule import Parameter


def task_arithmetic(operands: Operands) -> Merge:
    """Return τ = Σ wᵢδᵢ, over Σ wᵢ if `normalize`.

    Negative weights make the merged model forget what a parent has learnt.

    Reference: Ilharco et al. 2023, "Editing Models with Task Arithmetic" (arXiv 2212.04089), section 2.
    """
    return pipeline(operands, "all", "sum")


def ties(operands: Operands) -> Merge:
    """Return τ, the mean of the trimmed task vectors that agree with the elected sign.

    Each δᵢ keeps its k largest elements (`sparsify.n_kept`), the sign of Σ wᵢδ̂ᵢ is elected, and τ is Σ wᵢδ̂ᵢ / Σ wᵢ over
    the parents of that sign, or the sum alone without `normalize`. Trimming per tensor, weights, and plus for a vote
    that sums to zero follow mergekit; the authors' code is scope: global (which keeps all of equal magnitudes at the
    threshold), divisor: agreeing, zero_sign: majority (the tensor's majority, where theirs is the whole model's).

    Reference: Yadav et al. 2023, "TIES-Merging" (arXiv 2306.01708), algorithm 1.
    """
    return pipeline(operands, "largest", "sign")


def dare_linear(operands: Operands) -> Merge:
    """Return τ = Σ wᵢδ̂ᵢ, each δ̂ᵢ a random share of δᵢ.

    `rescale` "density" multiplies by 1/density, so that E δ̂ᵢ = δᵢ (the paper); "l1" restores the L1 norm (mergekit).
    Tensors of fewer than 1,024 elements are kept whole.

    Reference: Yu et al. 2024, "Language Models are Super Mario" (DARE, arXiv 2311.03099), equations 2 to 4.
    """
    return pipeline(operands, "random", "sum")


def dare_ties(operands: Operands) -> Merge:
    """Return τ as in `ties` over random shares of the task vectors.

    No trimming by magnitude follows, as in mergekit; `second_trim` 0.2 is what the authors' code does.

    Reference: Yu et al. 2024 (arXiv 2311.03099), section 3.
    """
    return pipeline(operands, "random", "sign")


def della_linear(operands: Operands) -> Merge:
    """Return τ = Σ wᵢδ̂ᵢ, each δ̂ᵢ a random share of δᵢ in which larger elements are likelier to be kept.

    `rescale` "density" divides each survivor by its own probability, so that E δ̂ᵢ = δᵢ (the paper); "l1" restores the
    L1 norm (mergekit). Tensors of fewer than 1,024 elements are kept whole.

    Reference: Deep et al. 2024, "DELLA-Merging" (arXiv 2406.11617), section 3.
    """
    return pipeline(operands, "ranked", "sum")


def della(operands: Operands) -> Merge:
    """Return τ as in `ties` over the random shares of `della_linear`.

    Reference: Deep et al. 2024, "DELLA-Merging" (arXiv 2406.11617), section 3.
    """
    return pipeline(operands, "ranked", "sign")


def breadcrumbs(operands: Operands) -> Merge:
    """Return τ = Σ wᵢδ̂ᵢ, each δᵢ without its largest elements (share `gamma`) and its smallest.

    Reference: Davari & Belilovsky 2023, "Model Breadcrumbs" (arXiv 2312.06795), section 3.
    """
    return pipeline(operands, _outliers(operands), "sum")


def breadcrumbs_ties(operands: Operands) -> Merge:
    """Return τ as in `ties` over the task vectors of `breadcrumbs`.

    Reference: Davari & Belilovsky 2023 (arXiv 2312.06795); Yadav et al. 2023 (arXiv 2306.01708).
    """
    return pipeline(operands, _outliers(operands), "sign")


def composed(operands: Operands) -> Merge:
    """Return τ by a chosen way to sparsify, scale and combine task vectors.

    The other pipelines of this family are points of this one; so are combinations that no paper has tested. `epsilon`
    counts for sparsify: ranked, `gamma` for outliers, `divisor` and `zero_sign` for consensus: sign.

    Reference: Goddard et al. 2024, "Arcee's MergeKit" (arXiv 2403.13257), which factors the methods in this way.
    """
    chosen = operands.parameters
    surviving: dict[Parameter, Survivors] = {
        "none": "all",
        "magnitude": "largest",
        "random": "random",
        "ranked": "ranked",
        "outliers": "band",
    }
    return pipeline(operands, surviving[chosen["sparsify"]], cast("Consensus", chosen["consensus"]))


def magmax(operands: Operands) -> Merge:
    """Return τ, element by element the wᵢδᵢ of largest magnitude; of equals the last.

    With `priority_only` the weights decide who wins, and δᵢ itself is what wins. The authors take λ = 0.5.

    Reference: Marczak et al. 2024, "MagMax" (arXiv 2407.06322), equation 3.
    """
    merge = pipeline(operands, "all", "largest")
    return merge._replace(form=merge.form._replace(unweighted=bool(operands.parameters["priority_only"])))


def pipeline(operands: Operands, surviving: Survivors, consensus: Consensus) -> Merge:
    """Return the merge of task vectors that are sparsified in one way and combined in another.

    The sum Σ wᵢδ̂ᵢ, over Σ wᵢ if `normalize` (unless the weights cancel: then the sum); the same sum over the parents
    of the elected sign, over the `divisor` if `normalize`; or the wᵢδ̂ᵢ of largest magnitude.
    """
    chosen, weights = operands.parameters, operands.numbers("weight")
    vectors = TaskVectors(operands)
    divisor, number = _divisor(chosen.get("normalize", False), chosen.get("divisor", "weights"), consensus, weights)
    form = Form(
        n_parents=len(weights),
        dtype=torch.float32,
        survivors=surviving,
        scaled=_scaled(chosen.get("rescale", "none"), surviving),
        consensus=consensus,
        divisor=divisor,
        signed=min(weights) < 0.0,
        zero_sign="drop" if consensus == "sign" and chosen.get("zero_sign") == "drop" else "plus",
    )
    # All that must be known of whole tensors is found here; what is left to the kernels looks at one element at a time.
    parts = [vectors.part(i, surviving) for i in range(len(weights))]
    second = float(chosen.get("second_trim", 1.0))
    if second != 1.0:
        parts = [vectors.trimmed_again(i, part, form, second) for i, part in enumerate(parts)]
        form = form._replace(trimmed_again=True)
    merge = Merge(form, vectors.tensors, vectors.base, tuple(parts), divisor=number)
    if consensus == "sign" and chosen.get("zero_sign") == "majority" and _most_are_negative(merge):
        return merge._replace(form=form._replace(zero_sign="minus"))
    return merge


def _outliers(operands: Operands) -> Survivors:
    return "chosen" if operands.parameters["scope"] == "row" else "band"


def _scaled(rescale: Parameter, surviving: Survivors) -> Literal["no", "by_chance", "by_number"]:
    if surviving == "all" or rescale == "none":
        return "no"
    return "by_chance" if surviving == "ranked" and rescale == "density" else "by_number"


def _divisor(
    normalize: Parameter, divisor: Parameter, consensus: Consensus, weights: list[float]
) -> tuple[Divisor, float]:
    if consensus == "largest" or not normalize:
        return "none", 1.0
    if consensus == "sum":
        return ("number", sum(weights)) if abs(sum(weights)) >= VANISHING_SUM else ("none", 1.0)
    return ("number", float(len(weights))) if divisor == "parents" else (cast("Divisor", divisor), 1.0)


def _most_are_negative(merge: Merge) -> bool:
    """Return whether more of the tensor's elements elect minus than plus."""
    form = merge.form._replace(consensus="balance", divisor="none")
    return float(torch.sum(torch.sign(merged_deltas(merge._replace(form=form))), dtype=torch.float64)) < 0.0
