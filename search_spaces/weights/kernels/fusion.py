"""Which merges are elementwise once a few statistics of the parents are known, and the numbers of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch

from search_spaces.operators.averages import VANISHING_SUM
from search_spaces.operators.operator import Operands
from search_spaces.operators.post_scale import gain
from search_spaces.operators.registry import operator_named
from search_spaces.recipe import Parameter, Rule
from search_spaces.weights.kernels.form import Consensus, Divisor, Form, Merge, Part, Survivors
from search_spaces.weights.kernels.spread import sce_merge
from search_spaces.weights.kernels.task_vectors import TaskVectors

if TYPE_CHECKING:
    from search_spaces.weights.parents import Parents
    from search_spaces.weights.plan import TensorPlan
    from search_spaces.weights.statistics import Statistics

# Operators that are Σ sᵢθᵢ, their shares not depending on the tensors.
WEIGHTED_SUMS = ("linear", "model_interpolation", "bcwi", "mwa", "wsm", "layer_swap", "passthrough")

_PIPELINES: Mapping[str, tuple[Survivors, Consensus]] = {
    "task_arithmetic": ("all", "sum"),
    "ties": ("largest", "sign"),
    "dare_linear": ("random", "sum"),
    "dare_ties": ("random", "sign"),
    "della_linear": ("ranked", "sum"),
    "della": ("ranked", "sign"),
    "breadcrumbs": ("band", "sum"),
    "breadcrumbs_ties": ("band", "sign"),
    "magmax": ("all", "largest"),
}
_COMPOSED: Mapping[Parameter, Survivors] = {
    "none": "all",
    "magnitude": "largest",
    "random": "random",
    "ranked": "ranked",
    "outliers": "band",
}


def is_elementwise(plan: TensorPlan) -> bool:
    """Return whether what a plan says is done element by element, but for thresholds and sums."""
    if plan.rule is None:
        return True
    return plan.rule.operator in (*WEIGHTED_SUMS, "sce") or _pipeline(plan.rule) is not None


def elementwise(plan: TensorPlan, parents: Parents, statistics: Statistics) -> Merge | None:
    """Return the elementwise merge that gives the bits of a plan's operator; None where there is none.

    Raises:
        SpaceError: the operator cannot be carried out.
    """
    assert plan.rule is not None
    if plan.rule.operator in WEIGHTED_SUMS:
        return _average(plan, plan.rule, parents)
    is_sce = plan.rule.operator == "sce"
    pipeline = _pipeline(plan.rule)
    if pipeline is None and not is_sce:
        return None
    scale = gain(_without_tensors(plan, plan.rule))
    if scale == 0.0:
        return _copy_of_base(plan, parents)
    vectors = TaskVectors(plan, plan.rule, parents, statistics)
    merge = sce_merge(vectors, plan.dtype) if pipeline is None else _combined(plan, plan.rule, vectors, *pipeline)
    return None if merge is None else replace(merge, gain=scale)


def _pipeline(rule: Rule) -> tuple[Survivors, Consensus] | None:
    """Return the pipeline of a rule; None if it needs more than thresholds."""
    chosen = rule.parameters
    survivors, consensus = _PIPELINES.get(rule.operator, (None, None))
    if rule.operator == "composed":
        survivors, consensus = _COMPOSED[chosen["sparsify"]], cast("Consensus", chosen["consensus"])
    if survivors is None or consensus is None:
        return None
    majority = consensus == "sign" and chosen.get("zero_sign") == "majority"
    declined = majority or chosen.get("second_trim", 1.0) != 1.0 or chosen.get("priority_only") is True
    return None if declined or (survivors == "band" and chosen.get("scope") == "row") else (survivors, consensus)


def _average(plan: TensorPlan, rule: Rule, parents: Parents) -> Merge | None:
    # A weighted sum is known by what it makes of unit vectors.
    units = tuple(torch.eye(len(plan.sources)))
    merged = operator_named(rule.operator).merge(replace(_without_tensors(plan, rule), tensors=units))
    used = [(source, share) for source, share in zip(plan.sources, merged.tolist(), strict=True) if share != 0.0]
    if not used:
        return None
    tensors = tuple(parents[parent].tensor(name).reshape(-1) for (parent, name), _ in used)
    form = Form(n_parents=len(used), dtype=plan.dtype, of_deltas=False)
    return Merge(form, tensors, None, tuple(Part(share) for _, share in used))


def _copy_of_base(plan: TensorPlan, parents: Parents) -> Merge:
    assert plan.base is not None
    tensor = parents[plan.base[0]].tensor(plan.base[1]).reshape(-1)
    return Merge(Form(n_parents=1, dtype=plan.dtype, of_deltas=False), (tensor,), None, (Part(1.0),))


def _combined(
    plan: TensorPlan, rule: Rule, vectors: TaskVectors, survivors: Survivors, consensus: Consensus
) -> Merge | None:
    rescale = rule.parameters.get("rescale", "none")
    if survivors == "all":
        rescale = "none"
    weights = [float(i.parameters["weight"]) for i in rule.inputs]
    divisor, number = _divisor(rule, consensus, weights)
    form = Form(
        n_parents=len(weights),
        dtype=plan.dtype,
        survivors=survivors,
        scaled="no"
        if rescale == "none"
        else "by_chance"
        if survivors == "ranked" and rescale == "density"
        else "by_number",
        consensus=consensus,
        divisor=divisor,
        signed=min(weights) < 0.0,
        drops_ties=consensus == "sign" and rule.parameters.get("zero_sign") == "drop",
    )
    parts = tuple(vectors.part(i, weight, survivors, str(rescale)) for i, weight in enumerate(weights))
    return Merge(form, vectors.tensors, vectors.base, parts, divisor=number)


def _divisor(rule: Rule, consensus: Consensus, weights: list[float]) -> tuple[Divisor, float]:
    """Return what is divided by, and the number if it is one."""
    if consensus == "largest" or not rule.parameters.get("normalize", False):
        return "none", 1.0
    if consensus == "sum":
        return ("number", sum(weights)) if abs(sum(weights)) >= VANISHING_SUM else ("none", 1.0)
    divisor = rule.parameters.get("divisor", "weights")
    return ("number", float(len(weights))) if divisor == "parents" else (cast("Divisor", divisor), 1.0)


def _without_tensors(plan: TensorPlan, rule: Rule) -> Operands:
    """Return the operands for what depends on the parameters alone."""
    inputs = tuple(i.parameters for i in rule.inputs)
    return Operands((), None, inputs, rule.parameters, lambda _: 0, name=plan.name, layer=plan.layer)
