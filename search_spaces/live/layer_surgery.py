"""Live models of recipes with layers of their own: reordered, repeated, scaled, without copies of weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial

import torch
from torch import Tensor, nn

from search_spaces.architecture.parts import Part
from search_spaces.errors import SpaceError
from search_spaces.layers.architecture import build_module
from search_spaces.layers.layer_behaviour import (
    behaviour,
    behaviours_to_keep,
    check_layers_kept,
    in_layer,
    layer_of,
    layers_of,
    main_path,
    scale_inputs,
)
from search_spaces.layers.output_config import output_config
from search_spaces.layers.scale_folding import folding_of
from search_spaces.layers.sources import output_names
from search_spaces.live.file_names import FileNames
from search_spaces.live.resident import check_fit
from search_spaces.merging.materialise import carry_out_all
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.plan import TensorPlan, plan_tensors
from search_spaces.merging.recent import Recent
from search_spaces.operators.registry import find_operator
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import Recipe
from search_spaces.recipes.rule import Rule


@dataclass(frozen=True)
class WeightPlan:
    """Everything that one weight of a live model depends on."""

    parts: tuple[tuple[Part, TensorPlan], ...]  # the checkpoint's tensors in it, and how each is made
    shape: tuple[int, ...]  # of the weight
    dtype: torch.dtype  # that it computes in
    device: torch.device  # where it lies

    @cached_property
    def content(self) -> Hashable:
        """Equal contents, equal weights, whichever layers of the output they belong to."""
        parts = tuple((part.offset, content(plan)) for part, plan in self.parts)
        return parts, self.shape, self.dtype, self.device

    @property
    def is_pure(self) -> bool:
        """Whether it is a parent's weight as it is."""
        return all(_is_pure(plan) for _, plan in self.parts)


class ParameterBank:
    """Weights that are in memory, each once.

    What is a parent's own is needed again and kept, as much as there is room for: the rest is read from the parents'
    files again, which the host's memory holds. What was not asked for lately goes first, except that it lives on in the
    models that use it; what is merged has room of its own.
    """

    def __init__(
        self, parents: Parents, memory: MergeMemory, *, merged_bytes: int, pure_bytes: float = math.inf
    ) -> None:
        self._parents = parents
        self._memory = memory
        self._pure: Recent[Tensor] = Recent(pure_bytes, lambda tensor: tensor.nbytes)
        self._merged: Recent[Tensor] = Recent(merged_bytes, lambda tensor: tensor.nbytes)

    def weight(self, plan: WeightPlan) -> Tensor:
        """Return a weight; do not write to it."""
        return (self._pure if plan.is_pure else self._merged).get(plan.content, lambda: self._made(plan))

    def _made(self, plan: WeightPlan) -> Tensor:
        weight = torch.empty(plan.shape, dtype=plan.dtype, device=plan.device)
        targets = [part.of(weight) for part, _ in plan.parts]
        for (_, how), target in zip(plan.parts, targets, strict=True):
            check_fit(how, target)
        carry_out_all([how for _, how in plan.parts], self._parents, memory=self._memory, out=targets)
        return weight


def content(plan: TensorPlan) -> Hashable:
    """Return what a tensor's values depend on: equal for tensors that are made alike, in whatever output layer."""
    layer = plan.layer
    if layer is not None and not (plan.rule and find_operator(plan.rule.operator).reads_depth(plan.rule.parameters)):
        layer = (0, 0)
    rule = None if plan.rule is None else _frozen(plan.rule)
    seed = 0 if _is_pure(plan) else plan.seed
    made = (rule, plan.pieces, plan.fold, plan.dtype, seed, layer)
    return plan.sources, plan.base, plan.shape, made


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


class FlowResident:
    """Models of recipes of any depth, made of weights that are in memory once; the layers' input scales are applied.

    A model is built from the config that the recipe's export gets, so it acts as the exported one will. Its weights
    are the bank's: parents' own and merged ones are kept as long as they are used or there is room. What
    lies outside the layers is shared too by recipes that make it alike; others have their own.

    Attributes:
        model: the one that the last recipe became.
    """

    def __init__(
        self,
        module: nn.Module,
        parents: Parents,
        *,
        memory: MergeMemory | None = None,
        merged_bytes: int | None = None,
        pure_bytes: float = math.inf,
    ) -> None:
        """Begin with nothing in memory.

        Args:
            module: of the base's architecture, e.g. from `build_module`; says dtype and device of all models, and is
                emptied.
            parents: the parents of every recipe to come.
            memory: what is known of these parents, to share with other users of them; None begins with nothing.
            merged_bytes: how much of merged weights is kept for recipes to come; None = as much as `module` has.
            pure_bytes: how much of the parents' own weights is kept likewise.
        """
        first = next(module.parameters())
        self._dtype, self._device = first.dtype, first.device
        self._parents = parents
        size = sum(p.nbytes for p in module.parameters()) if merged_bytes is None else merged_bytes
        known = MergeMemory() if memory is None else memory
        self._bank = ParameterBank(parents, known, merged_bytes=size, pure_bytes=pure_bytes)
        self.model = module.to_empty(device="meta")  # its memory is free for the bank
        self._to_keep = lru_cache(partial(behaviours_to_keep, parents))

    def become(self, recipe: Recipe) -> None:
        """Make `model` the recipe's.

        Raises:
            SpaceError: the recipe cannot be carried out; `model` stays what it was.
        """
        self.model = self.assembled([recipe])[0]

    def assembled(self, recipes: Sequence[Recipe]) -> list[nn.Module]:
        """Return one model per recipe, all alive at once: modules of their own, weights shared; do not write to them.

        Every layer has an attribute `layer_key`; layers of equal keys are the same function of hidden states and
        positions, input scale included.

        Raises:
            SpaceError: a recipe cannot be carried out.
        """
        return [self._assembled(recipe) for recipe in recipes]

    @torch.no_grad()
    def _assembled(self, recipe: Recipe) -> nn.Module:
        names = output_names(recipe, self._parents)
        # A folded plan would scale once more what the layers scale here.
        plans = plan_tensors(replace(recipe, input_scales=None), self._parents, names)
        config = output_config(recipe, self._parents)
        module = build_module(self._parents[recipe.base], compute_dtype=self._dtype, config_json=config)
        weights = self._weight_plans(module, plans, self._parents[recipe.base])
        replace_weights(module, {key: self._bank.weight(plan) for key, plan in weights.items()})
        check_layers_kept(recipe, layers_of(module), self._to_keep(recipe.base))
        scales = recipe.input_scales
        if scales is not None and set(scales) != {1.0}:
            scale_inputs(module, scales, folding_of(self._parents[recipe.base]))
        _name_layers(module, weights, scales)
        return module.to(self._device)

    def _weight_plans(
        self, module: nn.Module, plans: Mapping[str, TensorPlan], base: Checkpoint
    ) -> dict[str, WeightPlan]:
        """Return how each of a module's weights is made; buffers that no checkpoint holds have no plan."""
        names = FileNames(module, base)
        state = module.state_dict(keep_vars=True)
        found: dict[str, WeightPlan] = {}
        makers: dict[int, str] = {}
        for key, weight in state.items():
            parts = [(part, plans.get(part.name)) for part in names.of(key, weight)]
            known = tuple((part, plan) for part, plan in parts if plan is not None)
            if known and makers.setdefault(id(weight), key) != key:
                raise SpaceError(f"{key}: expected a tensor of its own, but the live model ties it to another")
            if known and len(known) == len(parts):
                found[key] = WeightPlan(known, tuple(weight.shape), weight.dtype, self._device)
        written = {id(state[key]) for key in found}
        for key, parameter in module.named_parameters():
            if id(parameter) not in written and parameter.numel():
                raise SpaceError(
                    f"{key}: the live model has this parameter, but no tensor of the base's checkpoint writes it"
                )
        return found


def replace_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put tensors in the place of a module's weights; tied ones stay tied."""
    state = module.state_dict(keep_vars=True)
    new = {id(state[key]): weight for key, weight in weights.items()}
    parameters: dict[int, nn.Parameter] = {}
    for owner in module.modules():
        for name, parameter in owner._parameters.items():
            if parameter is not None and id(parameter) in new:
                tensor = new[id(parameter)]
                owner._parameters[name] = parameters.setdefault(id(parameter), nn.Parameter(tensor))
        for name, buffer in owner._buffers.items():
            if buffer is not None and id(buffer) in new:
                owner._buffers[name] = new[id(buffer)]


def _name_layers(module: nn.Module, weights: Mapping[str, WeightPlan], scales: Sequence[float] | None) -> None:
    layers, path = layers_of(module), main_path(module)
    held: list[list[object]] = [[] for _ in layers]
    for key, plan in weights.items():
        index = layer_of(key, path)
        if index is not None and path is not None:
            held[index].append((in_layer(key, path, 0), plan.content))
    for layer, contents, scale in zip(layers, held, scales or [1.0] * len(layers), strict=True):
        acts = sorted(behaviour(layer), key=repr)
        digest = hashlib.sha256(repr((acts, contents)).encode()).hexdigest()
        layer.layer_key = (digest, scale)  # type: ignore[assignment]
