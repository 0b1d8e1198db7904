"""The one definition of a merge: what a recipe says one tensor is.

The resident model and the export both call `carry_out`, so what is scored is what is exported, bit for bit. Merges
that are elementwise go to the kernels, straight from the parents' files into the result; other operators return it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.merging.factors import FactorCache
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.operands import operands_of
from search_spaces.merging.piecewise import merge_pieces
from search_spaces.merging.plan import TensorPlan, plan_tensor
from search_spaces.operators.kernels.blocks import merge_into
from search_spaces.operators.kernels.blocks import merged as merged_by_kernel
from search_spaces.operators.operator import Operator
from search_spaces.operators.registry import find_operator
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe, Rule

if TYPE_CHECKING:
    from search_spaces.statistics.store import Kind


def merged_tensor(recipe: Recipe, parents: Parents, name: str, *, memory: MergeMemory | None = None) -> Tensor:
    """Return one tensor of the merged model, on the CPU.

    Args:
        recipe: the merge.
        parents: the recipe's parents, opened.
        name: one of `output_names(recipe, parents)`.
        memory: what is kept from earlier merges of the same parents; changes nothing but the time.

    Returns:
        A new tensor in the recipe's dtype, computed in float32 and rounded once; what is not floating point is the
        base's, unchanged.

    Raises:
        SpaceError: no rule matches, a parent lacks the tensor or has it in another shape, or the result has a value
            that is not finite.
    """
    return carry_out(plan_tensor(recipe, parents, name), parents, memory=memory)


@torch.no_grad()
def carry_out(
    plan: TensorPlan, parents: Parents, *, memory: MergeMemory | None = None, out: Tensor | None = None
) -> Tensor:
    """Return the tensor that a plan describes, in `out` if there is one; see `merged_tensor`.

    `out` is of the plan's shape, and of a dtype that holds every value of the plan's.
    """
    if plan.rule is None and plan.pieces is None:
        assert plan.base is not None
        buffer = parents[plan.base[0]].tensor(plan.base[1])
        return buffer.clone() if out is None else out.copy_(buffer)
    known = MergeMemory(repeated=False, factors=FactorCache(limit_bytes=0)) if memory is None else memory
    try:
        if plan.rule is None:
            merged, finite = _merge_by_pieces(plan, parents, known, out)
        else:
            merged, finite = _merge_by_rule(plan, plan.rule, parents, known, out)
    except SpaceError as error:
        raise SpaceError(f"{plan.name}: {error}") from error
    if not finite:
        operator = "linear" if plan.rule is None else plan.rule.operator
        raise SpaceError(
            f"{plan.name}: expected finite values after {operator}, found NaN or infinity in {plan.dtype}; "
            "a parent holds some (see the preflight), or weights are too large for the dtype"
        )
    return merged


def all_finite(tensor: Tensor) -> bool:
    """Return whether no element is NaN or infinite, in one pass without a temporary."""
    if tensor.numel() == 0 or not tensor.is_floating_point():
        return True
    low, high = torch.aminmax(tensor)  # both are NaN if any element is
    return bool(low.isfinite() and high.isfinite())


def _merge_by_rule(
    plan: TensorPlan, rule: Rule, parents: Parents, memory: MergeMemory, out: Tensor | None
) -> tuple[Tensor, bool]:
    if plan.fold is not None:
        whole, _ = _merge_by_rule(replace(plan, fold=None, dtype=torch.float32), rule, parents, memory, None)
        folded = plan.fold.apply(whole).to(plan.dtype)
        return (folded if out is None else out.copy_(folded)), all_finite(folded)
    operator = find_operator(rule.operator)
    turned = _is_input_first(plan, operator, memory)
    made = operator.apply(operands_of(plan, parents, memory, stored=operator.elementwise, turned=turned))
    if turned:
        made = (made if isinstance(made, Tensor) else merged_by_kernel(made, _turned(plan.shape))).mT.contiguous()
    if isinstance(made, Tensor):
        merged = made.to(plan.dtype)
        return (merged if out is None else out.copy_(merged)), all_finite(merged)
    merge = made.rounded_to(plan.dtype)
    return _write(plan, out, lambda flat: merge_into(flat, merge, compiled=memory.kernels))


def _merge_by_pieces(
    plan: TensorPlan, parents: Parents, memory: MergeMemory, out: Tensor | None
) -> tuple[Tensor, bool]:
    pieces = plan.pieces
    assert pieces is not None
    tensors = [parents[parent].tensor(name).reshape(-1) for parent, name in plan.sources]
    return _write(plan, out, lambda flat: merge_pieces(flat, pieces, tensors, plan.dtype, memory.kernels))


def _write(plan: TensorPlan, out: Tensor | None, write: Callable[[Tensor], bool]) -> tuple[Tensor, bool]:
    """Let a kernel write, straight to `out` where it can; return the tensor, and whether all of it is finite."""
    direct = out is not None and out.is_contiguous() and out.device.type == "cpu"
    target = out.detach() if out is not None and direct else torch.empty(plan.shape, dtype=plan.dtype)
    finite = write(target.view(-1))
    return (target if out is None or direct else out.copy_(target)), finite


def _is_input_first(plan: TensorPlan, operator: Operator, memory: MergeMemory) -> bool:
    """Return whether the tensor is stored as (n, o), while an operator on its n inputs' Gram matrix sees (o, n)."""
    kinds = [kind for kind in operator.statistics if kind in ("gram", "merged_gram")]
    digests = plan.statistics
    return any(
        memory.statistics.is_input_first(digests[0], cast("Kind", kind), plan.sources[0][1], digests[-1])
        for kind in kinds
    )


def _turned(shape: tuple[int, ...]) -> tuple[int, ...]:
    return *shape[:-2], shape[-1], shape[-2]
