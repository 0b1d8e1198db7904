"""The one definition of a merge: what a recipe says one tensor is.

The resident model and the export both call `carry_out`, so what is scored is what is exported, bit for bit. Merges
that are elementwise go to the kernels, straight from the parents' files into the result; other operators return it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, TypeAlias, cast

import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.merging.factors import FactorCache
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.operands import operands_of
from search_spaces.merging.piecewise import MergeOfPieces, merge_of_pieces, merge_pieces_into
from search_spaces.merging.plan import TensorPlan, plan_tensor
from search_spaces.operators.kernels.blocks import alike, merge_into, merged_together
from search_spaces.operators.kernels.blocks import merged as merged_by_kernel
from search_spaces.operators.kernels.form import Merge
from search_spaces.operators.operator import Operator
from search_spaces.operators.registry import find_operator
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Rule

if TYPE_CHECKING:
    from search_spaces.statistics.store import Kind

# A tensor as it is to be written, in the plan's dtype, or what kernels are to do for it.
Made: TypeAlias = "Tensor | Merge | MergeOfPieces"

# Elements of a tensor whose merge takes less time than calling its kernel. Such are merged together, so few at a time
# that they fit a core's cache, and that Python's collector of garbage does not look at what is soon gone.
_SMALL = 1 << 15
_TOGETHER = 1 << 16

# Elements of tensors that are merged before the first of them is written.
_IN_MEMORY = 1 << 23


def merged_tensor(recipe: Recipe, parents: Parents, name: str, *, memory: MergeMemory | None = None) -> Tensor:
    """Return one tensor of the merged model, where the memory's supply gives the parents': on the CPU without one.

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
    known = MergeMemory(repeated=False, factors=FactorCache(limit_bytes=0)) if memory is None else memory
    return _finished(plan, _made(plan, known.staged(parents), known), known, out)


@torch.no_grad()
def carry_out_all(
    plans: Sequence[TensorPlan], parents: Parents, *, memory: MergeMemory, out: Sequence[Tensor] | None = None
) -> list[Tensor]:
    """Return the tensors that plans describe, in `out` if there is one for each; see `carry_out`.

    Small tensors that kernels merge alike, such as experts, are merged together, with the same bits.
    """
    parents = memory.staged(parents)
    memory.expect(plans, parents)
    found: dict[int, Tensor] = {}
    waiting: dict[Hashable, list[tuple[int, Merge]]] = {}

    def finish(i: int, made: Made) -> None:
        found[i] = _finished(plans[i], made, memory, None if out is None else out[i])

    def finish_together(batch: Sequence[tuple[int, Merge]]) -> None:
        if len(batch) == 1:
            finish(batch[0][0], batch[0][1])
            return
        rows, finite = merged_together([merge for _, merge in batch])
        for (i, _), row in zip(batch, rows.unbind(), strict=True):
            made = row.view(plans[i].shape)
            if not finite:
                finish(i, made)
            else:
                found[i] = made if out is None else out[i].copy_(made)

    for i, plan in enumerate(plans):
        made = _made(plan, parents, memory)
        size = prod(plan.shape)
        key = alike(made) if isinstance(made, Merge) and size <= _SMALL else None
        if key is None:
            finish(i, made)
            continue
        waiting.setdefault(key, []).append((i, cast("Merge", made)))
        if len(waiting[key]) * size >= _TOGETHER:
            finish_together(waiting.pop(key))
    for batch in waiting.values():
        finish_together(batch)
    memory.flush()
    return [found[i] for i in range(len(plans))]


def carried_out(plans: Iterable[TensorPlan], parents: Parents, *, memory: MergeMemory) -> Iterator[Tensor]:
    """Yield the tensors that plans describe, in order; at any time few are in memory. See `carry_out_all`."""
    run: list[TensorPlan] = []
    n_elements = 0
    for plan in plans:
        size = prod(plan.shape)
        if run and n_elements + size > _IN_MEMORY:
            yield from carry_out_all(run, parents, memory=memory)
            run, n_elements = [], 0
        run.append(plan)
        n_elements += size
    yield from carry_out_all(run, parents, memory=memory)


def all_finite(tensor: Tensor) -> bool:
    """Return whether no element is NaN or infinite, in one pass without a temporary."""
    if tensor.numel() == 0 or not tensor.is_floating_point():
        return True
    low, high = torch.aminmax(tensor)  # both are NaN if any element is
    return bool(low.isfinite() and high.isfinite())


def _made(plan: TensorPlan, parents: Parents, memory: MergeMemory) -> Made:
    try:
        if plan.pieces is not None:
            return merge_of_pieces(plan.pieces, [parents[p].tensor(t) for p, t in plan.sources], plan.dtype)
        if plan.rule is not None:
            return _made_by_rule(plan, plan.rule, parents, memory)
    except SpaceError as error:
        raise SpaceError(f"{plan.name}: {error}") from error
    assert plan.base is not None
    return parents[plan.base[0]].tensor(plan.base[1]).clone()


def _made_by_rule(plan: TensorPlan, rule: Rule, parents: Parents, memory: MergeMemory) -> Tensor | Merge:
    if plan.fold is not None:
        unfolded = replace(plan, fold=None, dtype=torch.float32)
        whole, _ = _written(unfolded, _made_by_rule(unfolded, rule, parents, memory), memory, None)
        return plan.fold.apply(whole).to(plan.dtype)
    operator = find_operator(rule.operator)
    turned = _is_input_first(plan, operator, memory)
    made = operator.apply(operands_of(plan, parents, memory, stored=operator.elementwise, turned=turned))
    if turned:
        made = (made if isinstance(made, Tensor) else merged_by_kernel(made, _turned(plan.shape))).mT.contiguous()
    return made.to(plan.dtype) if isinstance(made, Tensor) else made.rounded_to(plan.dtype)


def _finished(plan: TensorPlan, made: Made, memory: MergeMemory, out: Tensor | None) -> Tensor:
    """Return what was made, merged if that is still to be done, in `out` if there is one; raise if it is not finite."""
    merged, finite = _written(plan, made, memory, out)
    if not finite:
        operator = "linear" if plan.rule is None else plan.rule.operator
        raise SpaceError(
            f"{plan.name}: expected finite values after {operator}, found NaN or infinity in {plan.dtype}; "
            "a parent holds some (see the preflight), or weights are too large for the dtype"
        )
    return merged


def _written(plan: TensorPlan, made: Made, memory: MergeMemory, out: Tensor | None) -> tuple[Tensor, bool]:
    """Return what was made in `out` if there is one, straight from a kernel where it can, and whether it is finite."""
    if isinstance(made, Tensor):
        return (made if out is None else out.copy_(made)), all_finite(made)
    device = made.device
    direct = out is not None and out.is_contiguous() and out.device == device
    target = out.detach() if out is not None and direct else torch.empty(plan.shape, dtype=plan.dtype, device=device)
    if isinstance(made, Merge):
        finite = merge_into(target.view(-1), made, compiled=memory.kernels)
    else:
        finite = merge_pieces_into(target.view(-1), made, compiled=memory.kernels)
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
