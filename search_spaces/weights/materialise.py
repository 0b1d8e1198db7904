"""The one definition of a merge: what a recipe says one tensor is.

The resident model and the export both call `merged_tensor`, so what is scored is what is exported, bit for bit.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.groups import locate, matches
from search_spaces.operators.operator import Trim
from search_spaces.operators.registry import Operands, check_rule, operator_named
from search_spaces.recipe import Recipe, Rule
from search_spaces.weights.parents import Parents
from search_spaces.weights.sources import donor, source_name
from search_spaces.weights.trims import TrimCache


@dataclass(frozen=True)
class TensorPlan:
    """Everything that the value of one output tensor depends on, given the parents: equal plans, equal tensors.

    Attributes:
        name: the output tensor.
        rule: the rule that makes it, defaults filled in; None copies `base`, which is not floating point.
        sources: per input of the rule, (parent, tensor).
        base: (parent, tensor) of the base, or of the donor of a copied buffer; None if the operator needs none.
        shape: of the output and of all that it is made from.
        dtype: what it is rounded to.
        seed: the recipe's.
    """

    name: str
    rule: Rule | None
    sources: tuple[tuple[str, str], ...]
    base: tuple[str, str] | None
    shape: tuple[int, ...]
    dtype: torch.dtype
    seed: int


def plan_tensor(recipe: Recipe, parents: Parents, name: str) -> TensorPlan:
    """Return how a recipe makes one output tensor; reads no weights.

    Raises:
        SpaceError: no rule matches the tensor, the rule is wrong, or a parent lacks the tensor.
    """
    origin = donor(recipe, locate(name).layer)
    original = (origin, source_name(recipe, parents, name, origin))
    stored, shape = parents[origin].dtype(original[1]), parents[origin].shape(original[1])
    if not stored.is_floating_point:
        return TensorPlan(name, None, (), original, shape, stored, recipe.seed)
    rule = next((rule for rule in recipe.rules if matches(rule.where, name)), None)
    if rule is None:
        raise SpaceError(f"rules: expected one that matches the tensor {name}, found none; add a rule without `where`")
    rule = check_rule(rule)
    sources = tuple((i.parent, source_name(recipe, parents, name, i.parent)) for i in rule.inputs)
    base = None
    if operator_named(rule.operator).needs_base:
        base = (recipe.base, source_name(recipe, parents, name, recipe.base))
    for parent, source in (*sources, *([base] if base else [])):
        found = parents[parent].shape(source)
        if found != shape:
            raise SpaceError(f"{name}: expected the shape {shape}, found {found} in {source} of parent {parent!r}")
    return TensorPlan(name, rule, sources, base, shape, getattr(torch, recipe.dtype), recipe.seed)


def merged_tensor(recipe: Recipe, parents: Parents, name: str, *, trims: TrimCache | None = None) -> Tensor:
    """Return one tensor of the merged model, on the CPU.

    Args:
        recipe: the merge.
        parents: the recipe's parents, opened.
        name: one of `output_names(recipe, parents)`.
        trims: TIES thresholds kept from earlier merges of the same parents; changes nothing but the time.

    Returns:
        A new tensor in the recipe's dtype, computed in float32 and rounded once; what is not floating point is the
        base's, unchanged.

    Raises:
        SpaceError: no rule matches, a parent lacks the tensor or has it in another shape, or the result has a value
            that is not finite.
    """
    return carry_out(plan_tensor(recipe, parents, name), parents, trims)


def carry_out(plan: TensorPlan, parents: Parents, trims: TrimCache | None = None) -> Tensor:
    """Return the tensor that a plan describes; see `merged_tensor`."""
    if plan.rule is None:
        assert plan.base is not None
        return parents[plan.base[0]].tensor(plan.base[1]).clone()
    operands = _operands(plan, plan.rule, parents, trims)
    try:
        merged = operator_named(plan.rule.operator).merge(operands).to(plan.dtype)
    except SpaceError as error:
        raise SpaceError(f"{plan.name}: {error}") from error
    if not all_finite(merged):
        raise SpaceError(
            f"{plan.name}: expected finite values after {plan.rule.operator}, found NaN or infinity in {plan.dtype}; "
            "a parent holds some (see the preflight), or weights are too large for the dtype"
        )
    return merged


def all_finite(tensor: Tensor) -> bool:
    """Return whether no element is NaN or infinite, in one pass without a temporary."""
    if tensor.numel() == 0 or not tensor.is_floating_point():
        return True
    low, high = torch.aminmax(tensor)  # both are NaN if any element is
    return bool(low.isfinite() and high.isfinite())


def _operands(plan: TensorPlan, rule: Rule, parents: Parents, trims: TrimCache | None) -> Operands:
    tensors = tuple(_load(parents, source) for source in plan.sources)
    base = None if plan.base is None else _load(parents, plan.base)

    def generator(i: int) -> torch.Generator:
        seed = _stream(plan.seed, rule.operator, rule.inputs[i].parent, plan.name)
        return torch.Generator().manual_seed(seed)

    def trim(i: int, density: float) -> Trim:
        assert trims is not None
        assert plan.base is not None
        assert base is not None
        return trims.trim((*plan.sources[i], *plan.base), tensors[i], base, density)

    return Operands(
        tensors=tensors,
        base=base,
        inputs=tuple(i.parameters for i in rule.inputs),
        parameters=rule.parameters,
        generators=generator,
        trims=None if trims is None else trim,
    )


def _load(parents: Parents, source: tuple[str, str]) -> Tensor:
    return parents[source[0]].tensor(source[1]).to(torch.float32)


def _stream(seed: int, operator: str, parent: str, name: str) -> int:
    """Return the 63-bit seed of one random mask: independent of the order in which tensors are visited."""
    digest = hashlib.sha256("\0".join((str(seed), operator, parent, name)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
