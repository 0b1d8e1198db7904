"""The parents' task vectors of one tensor: which elements survive, told by a few numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from math import prod
from typing import TYPE_CHECKING

from torch import Tensor

from search_spaces.operators import sparsify
from search_spaces.operators.operator import Trim
from search_spaces.operators.ranks import row_width
from search_spaces.operators.threshold import Magnitudes
from search_spaces.recipe import Parameter, Rule
from search_spaces.weights.kernels.form import Part, Survivors
from search_spaces.weights.kernels.norms import l1_norms
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

    def magnitudes(self, i: int) -> Magnitudes:
        """Return what computes parts of the i-th task vector's magnitudes."""
        return magnitudes_of(self.tensors[i], self.base)

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
            return replace(part, scale=self._scale(i, part, density, survivors, rescale))
        seed = self._plan.mask_seed(i)
        if survivors == "random":
            part = Part(weight, chance=(0.0, density), seed=seed)
            return replace(part, scale=self._scale(i, part, density, survivors, rescale))
        width, epsilon = row_width(self._plan.shape), float(self._rule.inputs[i].parameters["epsilon"])
        part = Part(weight, chance=sparsify.chance_line(width, density, epsilon), seed=seed, ranks=self._ranks(i))
        return part if rescale != "l1" else replace(part, scale=self._scale(i, part, density, survivors, rescale))

    def _band(self, i: int, weight: float, rescale: str) -> Part:
        values = self._rule.inputs[i].parameters
        density, gamma = float(values["density"]), float(values["gamma"])
        k, top = sparsify.band(self.n, density, gamma)
        steps = partial(band_steps, gamma=gamma)
        part = Part(weight, low=self._nth(i, top + k, steps), high=self._nth(i, top, steps))
        return replace(part, scale=self._scale(i, part, density, "band", rescale))

    def _trim(self, i: int, density: float) -> Trim:
        if self.parameters.get("scope") == "global":
            parent = self._plan.sources[i][0]
            return self._statistics.model_trims.trim(self._parents, parent, self._base_source[0], density)
        return self._nth(i, sparsify.n_kept(self.n, density))

    def _nth(self, i: int, k: int, steps: Steps = density_steps) -> Trim:
        key = (steps is density_steps, *self.key(i))
        return self._statistics.trim(key, self.magnitudes(i), k, self.n, steps=steps)

    def _ranks(self, i: int) -> Tensor:
        width = row_width(self._plan.shape)
        return self._statistics.ranks(self.key(i), self.magnitudes(i), self.n, width)

    def _scale(self, i: int, part: Part, density: float, survivors: Survivors, rescale: str) -> float:
        """Return what the survivors are multiplied by."""
        if rescale != "l1":
            return 1.0 / density
        key = ("l1", survivors, self.key(i), part.low, part.high, part.chance, part.seed)
        # Of magnitudes as of the task vector: what is dropped does not depend on the sign.
        compute = partial(l1_norms, self.magnitudes(i), self.n, part, survivors)
        return sparsify.l1_gain(*self._statistics.numbers(key, compute))
