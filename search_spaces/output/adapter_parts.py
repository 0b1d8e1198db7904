"""What a merged adapter consists of; some of it, stacks of experts and rows of tokens, is no pair of factors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.merging.materialise import carry_out
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.plan import TensorPlan
from search_spaces.output.low_rank import LowRank, product_norm, truncated, weighted_sum
from search_spaces.parents.adapter_places import AdapterPlaces
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.low_rank_update import AdaptedTensor, StackedUpdate, TokenRows
from search_spaces.parents.parents import Parents

_ROUNDING = 1e-6  # of a row that no adapter changes, relative to the largest element
_WHOLE = "merge it as a whole model, without --as-adapter"


@dataclass
class AdapterParts:
    """An adapter in the making."""

    base: Checkpoint
    tensors: dict[str, Tensor] = field(default_factory=dict)
    ranks: dict[str, int] = field(default_factory=dict)  # module or parameter -> rank
    parameters: set[str] = field(default_factory=set)  # those in `ranks` that are no modules
    saved_modules: set[str] = field(default_factory=set)
    tokens: dict[str, list[int]] = field(default_factory=dict)  # module -> tokens with rows of their own
    errors: dict[str, tuple[float, float]] = field(default_factory=dict)  # tensor -> (error, norm)
    fan_in_fan_out: bool = False
    memory: MergeMemory = field(default_factory=lambda: MergeMemory(repeated=False))

    @cached_property
    def places(self) -> AdapterPlaces:
        """The base's modules."""
        return AdapterPlaces.of(self.base)

    def key(self, name: str) -> str:
        """Return what a live module calls a tensor of the base's file: peft reads these names."""
        return self.base.architecture.keys.get(name, name)


def trained_tokens(plan: TensorPlan, parents: Parents) -> list[int]:
    """Return the tokens that have rows of their own in some input's adapter."""
    tables = [parents[parent].lazy(source) for parent, source in plan.sources]
    return sorted({token for table in tables if isinstance(table, TokenRows) for token in table.tokens})


def add_rows(parts: AdapterParts, plan: TensorPlan, parents: Parents, tokens: list[int]) -> bool:
    """Add a merged table's rows of some tokens; return whether it changes in nothing else.

    Rows of a tied embedding would be the head's too: where the merge has a head of its own, this is no way to say it.
    """
    base, merged = parts.base, carry_out(plan, parents)
    if base.tied and any(checkpoint.head is not None for checkpoint in parents.checkpoints.values()):
        return False
    rest = merged.to(torch.float32) - base.tensor(plan.name)
    rest[tokens] = 0
    if rest.abs().max() > _ROUNDING * merged.abs().max():
        return False
    module = parts.key(plan.name).removesuffix(".weight")
    parts.tensors[f"base_model.model.{module}.token_adapter.trainable_tokens_delta"] = merged[tokens].contiguous()
    parts.tokens[module] = tokens
    return True


def add_stacks(
    parts: AdapterParts, stacks: Mapping[str, Sequence[TensorPlan]], parents: Parents, rank: int | None
) -> None:
    """Add the factors of fused experts, as peft stacks them.

    Args:
        parts: what they are added to.
        stacks: live module's parameter -> the merges of the tensors that it consists of.
        parents: the recipe's.
        rank: the largest of an expert's; None: the sum of the parents'.

    Raises:
        SpaceError: a merge is no weighted sum of the base and its adapters with one weight each.
    """
    named = sorted(stacks)
    for key, plans in stacks.items():
        shares = _shares(key, plans, parents, parts.base)
        found = [
            (share, stack)
            for parent, share in shares.items()
            if (adapter := parents[parent].adapter) is not None and (stack := adapter.stacks.get(key)) is not None
        ]
        if not any(share for share, _ in found):
            continue
        changes = [_change(found, expert, rank) for expert in range(found[0][1].n_experts)]
        owner, _, leaf = key.rpartition(".")
        order = parts.places.targeted(owner, named)
        module = f"base_model.model.{owner}{'.base_layer' * (len(order) - 1 - order.index(leaf))}"
        up, down = torch.stack([c.left for c in changes], dim=2), torch.cat([c.right for c in changes])
        parts.tensors[f"{module}.lora_A.weight"] = down.contiguous()
        parts.tensors[f"{module}.lora_B.weight"] = up.flatten(1).contiguous()
        parts.ranks[key] = up.shape[1]
        parts.parameters.add(key)
        parts.errors[key] = tuple(  # type: ignore[assignment]
            float(torch.tensor([getattr(c, part) for c in changes]).norm()) for part in ("error", "norm")
        )


def _change(found: Sequence[tuple[float, StackedUpdate]], expert: int, rank: int | None) -> LowRank:
    """Return one expert's change as B and A, (out, rank) and (rank, in), however the weight is stored."""
    updates = [(share * stack.scale, stack.of(expert)) for share, stack in found]
    left = torch.cat([share * update.up.read().to(torch.float32) for share, update in updates], dim=1)
    right = torch.cat([update.down.read().to(torch.float32) for _, update in updates])
    change = LowRank(left, right, product_norm(left, right), 0.0)
    return change if rank is None else truncated(change, rank)


def _shares(key: str, plans: Sequence[TensorPlan], parents: Parents, base: Checkpoint) -> dict[str, float]:
    """Return parent -> its weight in the sum that all tensors of a parameter are merged by."""
    sums = [weighted_sum(plan) for plan in plans]
    plain = all(
        _is_stacked(key, parents[parent], source, base.tensor(plan.name))
        for plan in plans
        for parent, source in plan.sources
    )
    shares = sums[0]
    if shares is None or any(other != shares for other in sums) or not plain:
        raise SpaceError(
            f"--as-adapter: {key}: expected a weighted sum of adapters on the base, with one weight for each, as the "
            f"experts are one parameter; found another merge; {_WHOLE}"
        )
    return shares


def _is_stacked(key: str, checkpoint: Checkpoint, source: str, base: Tensor) -> bool:
    """Return whether a parent's tensor is the base's, with an update of the parameter or without any."""
    tensor = checkpoint.lazy(source)
    if isinstance(tensor, AdaptedTensor):
        return (
            checkpoint.adapter is not None and key in checkpoint.adapter.stacks and tensor.original.read().equal(base)
        )
    return tensor.read().equal(base)
