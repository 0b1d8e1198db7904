"""The parents' task vectors of one tensor: which elements survive, told by a few numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from search_spaces.operators import sparsify
from search_spaces.operators.operator import Trim
from search_spaces.recipe import Parameter, Rule
from search_spaces.weights.kernels.form import Part, Survivors
from search_spaces.weights.trims import Steps, band_steps, density_steps, magnitudes_of

if TYPE_CHECKING:
    from search_spaces.weights.parents import Parents
    from search_spaces.weights.plan import TensorPlan
    from search_spaces.weights.statistics import Statistics


class TaskVectors:
    """δᵢ = θᵢ - θ₀ of a plan's inputs, and what is known of them."""

    def __init__(self, plan: TensorPlan, rule: Rule, parents: Parents, statistics: Statistics) -> None:
        """Read nothing yet."""
        assert plan.base is not None
        self._plan, self._rule, self._parents, self._statistics = plan, rule, parents, statistics
        self._base_source = plan.base
        self.n = prod(plan.shape)

    @cached_property
    def base(self) -> Tensor:
        """The base, flat, as stored."""
        return self._parents[self._base_source[0]].tensor(self._base_source[1]).reshape(-1)

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """The parents, flat, as stored."""
        return tuple(self._parents[parent].tensor(name).reshape(-1) for parent, name in self._plan.sources)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The operator's own parameters."""
        return self._rule.parameters

    @property
    def statistics(self) -> Statistics:
        """What is remembered of the parents."""
        return self._statistics

    def key(self, i: int) -> tuple[str, ...]:
        """Return what names the i-th task vector."""
        return (*self._plan.sources[i], *self._base_source)

    def delta(self, i: int) -> Tensor:
        """Return the i-th task vector, float32 (n,), new."""
        return self.tensors[i].to(torch.float32) - self.base.to(torch.float32)

    def part(self, i: int, weight: float, survivors: Survivors, rescale: str) -> Part:
        """Return the numbers of the i-th task vector under a way to sparsify; see `operators.task_vectors`."""
        if survivors == "all":
            return Part(weight)
        if survivors == "band":
            return self._band(i, weight, rescale)
        density = float(self._rule.inputs[i].parameters["density"])
        if density == 1.0 or (survivors != "largest" and self.n < sparsify.FEWEST_TO_DROP_FROM):
            whole = Part(weight)
            return replace(whole, ranks=self._ranks(i)) if survivors == "ranked" else whole
        if survivors == "largest":
            part = Part(weight, low=self._trim(i, density))
            return replace(part, scale=self._scale(i, part, density, rescale))
        seed = self._plan.mask_seed(i)
        if survivors == "random":
            return Part(weight, chance=(0.0, density), scale=1.0 / density, seed=seed)
        width, epsilon = sparsify.row_width(self._plan.shape), float(self._rule.inputs[i].parameters["epsilon"])
        return Part(weight, chance=sparsify.chance_line(width, density, epsilon), seed=seed, ranks=self._ranks(i))

    def _band(self, i: int, weight: float, rescale: str) -> Part:
        values = self._rule.inputs[i].parameters
        density, gamma = float(values["density"]), float(values["gamma"])
        k, top = sparsify.band(self.n, density, gamma)
        steps = partial(band_steps, gamma=gamma)
        part = Part(weight, low=self._nth(i, top + k, steps), high=self._nth(i, top, steps))
        return replace(part, scale=self._scale(i, part, density, rescale))

    def _trim(self, i: int, density: float) -> Trim:
        if self.parameters.get("scope") == "global":
            parent = self._plan.sources[i][0]
            return self._statistics.model_trims.trim(self._parents, parent, self._base_source[0], density)
        return self._nth(i, sparsify.n_kept(self.n, density))

    def _nth(self, i: int, k: int, steps: Steps = density_steps) -> Trim:
        def magnitudes() -> Tensor:
            return magnitudes_of(self.tensors[i], self.base)

        return self._statistics.trim((steps is density_steps, *self.key(i)), magnitudes, k, self.n, steps)

    def _ranks(self, i: int) -> Tensor:
        def delta() -> Tensor:
            return self.delta(i).view(self._plan.shape)

        return self._statistics.ranks(self.key(i), delta)

    def _scale(self, i: int, part: Part, density: float, rescale: str) -> float:
        """Return what the survivors of a magnitude trim are multiplied by."""
        if rescale != "l1":
            return 1.0 / density

        def norms() -> tuple[float, ...]:
            delta = self.delta(i)
            before = sparsify.l1_norm(delta)
            kept = sparsify.kept_mask(delta.abs(), Trim(*part.low))
            if not math.isinf(part.high[0]):
                kept &= ~sparsify.kept_mask(delta.abs(), Trim(*part.high))
            return before, sparsify.l1_norm(delta.mul_(kept))

        before, after = self._statistics.numbers(("l1", self.key(i), part.low, part.high), norms)
        return sparsify.l1_gain(before, after)
