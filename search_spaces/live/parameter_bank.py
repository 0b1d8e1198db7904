"""Live weights by what they hold: models that are alive at once share what they have in common."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from search_spaces.layers.architecture import Part
from search_spaces.layers.sources import with_layer
from search_spaces.live.resident import check_fit
from search_spaces.merging.materialise import carry_out
from search_spaces.merging.plan import TensorPlan
from search_spaces.merging.recent import Recent
from search_spaces.merging.statistics import Statistics
from search_spaces.operators.registry import find_operator
from search_spaces.parents.parents import Parents
from search_spaces.recipes.groups import locate
from search_spaces.recipes.recipe import Rule


@dataclass(frozen=True)
class WeightPlan:
    """Everything that one weight of a live model depends on.

    Attributes:
        parts: the checkpoint's tensors in it, and how each is made.
        shape: of the weight.
        dtype: that it computes in.
        device: where it lies.
    """

    parts: tuple[tuple[Part, TensorPlan], ...]
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device

    @cached_property
    def content(self) -> Hashable:
        """Equal contents, equal weights, whichever layers of the output they belong to."""
        parts = tuple((_anywhere(part.name), part.offset, content(plan)) for part, plan in self.parts)
        return parts, self.shape, self.dtype, self.device

    @property
    def is_pure(self) -> bool:
        """Whether it is a parent's weight as it is."""
        return all(_is_pure(plan) for _, plan in self.parts)


class ParameterBank:
    """Weights that are in memory, each once.

    What is a parent's own is kept for good: it is needed again. What is merged goes when it was not asked for lately,
    except that it lives on in the models that use it.

    Args:
        parents: opened.
        statistics: see `carry_out`.
        merged_bytes: how much of what is merged is kept.
    """

    def __init__(self, parents: Parents, statistics: Statistics, *, merged_bytes: int) -> None:
        self._parents = parents
        self._statistics = statistics
        self._pure: dict[Hashable, Tensor] = {}
        self._merged: Recent[Tensor] = Recent(merged_bytes, lambda tensor: tensor.nbytes)

    def weight(self, plan: WeightPlan) -> Tensor:
        """Return a weight; do not write to it.

        Raises:
            SpaceError: it cannot be made, or does not fit.
        """
        key = plan.content
        if not plan.is_pure:
            return self._merged.get(key, lambda: self._made(plan))
        if key not in self._pure:
            self._pure[key] = self._made(plan)
        return self._pure[key]

    def _made(self, plan: WeightPlan) -> Tensor:
        weight = torch.empty(plan.shape, dtype=plan.dtype, device=plan.device)
        for part, how in plan.parts:
            target = part.of(weight)
            check_fit(how, target)
            carry_out(how, self._parents, statistics=self._statistics, out=target)
        return weight


def content(plan: TensorPlan) -> Hashable:
    """Return what a tensor's values depend on: equal for tensors that are made alike, in whatever output layer."""
    layer = plan.layer
    if layer is not None and not (plan.rule and find_operator(plan.rule.operator).reads_depth(plan.rule.parameters)):
        layer = (0, 0)
    rule = None if plan.rule is None else _frozen(plan.rule)
    seed = 0 if _is_pure(plan) else plan.seed
    made = (rule, plan.pieces, plan.fold, plan.dtype, seed, layer)
    return _anywhere(plan.name), plan.sources, plan.base, plan.shape, made


def _anywhere(name: str) -> str:
    return name if locate(name).layer is None else with_layer(name, 0)


def _frozen(rule: Rule) -> Hashable:
    inputs = tuple((i.parent, _items(i.parameters)) for i in rule.inputs)
    return rule.operator, inputs, _items(rule.parameters)


def _items(parameters: Mapping[str, Hashable]) -> Hashable:
    return tuple(sorted(parameters.items()))


def _is_pure(plan: TensorPlan) -> bool:
    if plan.rule is None:
        return plan.pieces is None
    factor = plan.rule.inputs[0].parameters.get("scale", 1.0)
    return plan.rule.operator == "passthrough" and factor == 1.0 and plan.fold is None
