"""What a merge of adapters changes in one weight, as a product of two thin matrices.

Where the operator is a weighted sum of the parents, θ = Σ aⱼxⱼ with Σ aⱼ = 1, and every parent is the same base plus
its own sᵢBᵢAᵢ, the change is Σ aᵢsᵢBᵢAᵢ: the factors side by side, with no error. Otherwise it is the best
approximation of its rank, by singular value decomposition (Eckart and Young 1936).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from search_spaces.merging.materialise import carry_out
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.plan import TensorPlan
from search_spaces.operators.kernels.blocks import merged
from search_spaces.operators.kernels.form import Merge
from search_spaces.operators.kernels.threshold import Trim
from search_spaces.operators.registry import Operands, find_operator
from search_spaces.parents.checkpoint_files import LazyTensor
from search_spaces.parents.low_rank_update import AdaptedTensor, LowRankUpdate
from search_spaces.parents.parents import Parents
from search_spaces.recipes.rule import Rule

_SUM_TOLERANCE = 1e-6  # of Σ aⱼ = 1, whose terms are rounded to float32


@dataclass(frozen=True)
class LowRank:
    """left @ right, an approximation of a change."""

    left: Tensor  # (rows, rank), float32
    right: Tensor  # (rank, columns), float32
    norm: float  # of the change itself (Frobenius)
    error: float  # norm of the change less left @ right; 0 where factors were put side by side


def updates(plan: TensorPlan, parents: Parents, base: LazyTensor) -> dict[str, LowRankUpdate] | None:
    """Return input parent -> its update of a tensor's source; None if some input is not the base plus such an update.

    A parent that leaves the base's tensor as it is has none.
    """
    found = {}
    for parent, source in (*plan.sources, *([plan.base] if plan.base else [])):
        tensor = parents[parent].lazy(source)
        if isinstance(tensor, AdaptedTensor) and tensor.update is not None:
            found[parent] = tensor.update
            tensor = tensor.original
        if not tensor.read().equal(base.read()):
            return None
    return found


def leaves_unchanged(plan: TensorPlan, parents: Parents, base: LazyTensor) -> bool:
    """Return whether a merge of parents that all have the base's tensor gives that tensor, up to rounding."""
    assert plan.rule is not None
    shares = _shares(plan, plan.rule)
    if shares is not None:
        return abs(sum(shares.values()) - 1.0) <= _SUM_TOLERANCE
    original = base.read().to(torch.float32)
    change = carry_out(replace(plan, dtype=torch.float32), parents).sub_(original)
    return float(change.norm()) <= _SUM_TOLERANCE * float(original.norm())


def weighted_sum(plan: TensorPlan) -> dict[str, float] | None:
    """Return parent -> its weight where a merge is a weighted sum whose weights add to 1; None otherwise."""
    assert plan.rule is not None
    shares = _shares(plan, plan.rule)
    return None if shares is None or abs(sum(shares.values()) - 1.0) > _SUM_TOLERANCE else shares


def side_by_side(plan: TensorPlan, found: dict[str, LowRankUpdate]) -> LowRank | None:
    """Return the change without error; None if the operator is not a weighted sum whose weights add to 1."""
    shares = weighted_sum(plan)
    if shares is None:
        return None
    pairs = [(share, *found[parent].factors()) for parent, share in shares.items() if parent in found and share]
    if not pairs:
        return LowRank(torch.zeros(plan.shape[0], 0), torch.zeros(0, plan.shape[1]), 0.0, 0.0)
    left = torch.cat([share * left for share, left, _ in pairs], dim=1)
    right = torch.cat([right for _, _, right in pairs])
    return LowRank(left, right, product_norm(left, right), 0.0)


def truncated(change: LowRank, rank: int) -> LowRank:
    """Return the best approximation of a product of thin matrices with a smaller rank."""
    if change.left.shape[1] <= rank:
        return change
    q_left, r_left = torch.linalg.qr(change.left)
    q_right, r_right = torch.linalg.qr(change.right.T)
    u, s, vh = torch.linalg.svd(r_left @ r_right.T)
    left, right = q_left @ (u[:, :rank] * s[:rank]), vh[:rank] @ q_right.T
    return LowRank(left, right, change.norm, float(s[rank:].norm()))


def decomposed(plan: TensorPlan, parents: Parents, base: LazyTensor, *, rank: int, memory: MergeMemory) -> LowRank:
    """Return the best approximation of what a merge, rounded to float32, changes in the base's tensor."""
    made = carry_out(replace(plan, dtype=torch.float32), parents, memory=memory)
    delta = made - base.read().to(torch.float32)
    u, s, vh = torch.linalg.svd(delta, full_matrices=False)
    return LowRank(u[:, :rank] * s[:rank], vh[:rank], float(s.norm()), float(s[rank:].norm()))


def _shares(plan: TensorPlan, rule: Rule) -> dict[str, float] | None:
    """Return parent -> its factor in the weighted sum, read off by merging unit vectors."""
    operator = find_operator(rule.operator)
    if operator.mixes_elements(rule.parameters):
        return None
    sources = [parent for parent, _ in plan.sources]
    n = len(sources) + (plan.base is not None)
    units = list(torch.eye(n))
    made = operator.apply(
        Operands(
            tensors=tuple(units[: len(sources)]),
            base=None if plan.base is None else units[-1],
            inputs=tuple(i.parameters for i in rule.inputs),
            parameters=rule.parameters,
            seeds=lambda _: 0,
            name=plan.name,
            layer=plan.layer,
            global_trims=lambda _, __: Trim(-1.0, -1),
        )
    )
    if isinstance(made, Merge):
        if not made.is_weighted_sum:
            return None
        made = merged(made, (n,))
    shares = dict.fromkeys(sources, 0.0)
    for parent, share in zip([*sources, *([plan.base[0]] if plan.base else [])], made.tolist(), strict=True):
        shares[parent] = shares.get(parent, 0.0) + share
    return shares


def product_norm(left: Tensor, right: Tensor) -> float:
    """Return ‖left right‖ without forming it: tr(LᵀL · RRᵀ) = ‖LR‖²."""
    squared = ((left.T @ left).double() * (right @ right.T).double().T).sum()
    return float(squared.clamp(min=0.0).sqrt())
