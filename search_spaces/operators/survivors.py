"""The parents' task vectors of one tensor, and which of their elements survive: a few numbers for the kernels."""

from __future__ import annotations

import math
from collections.abc import Hashable
from functools import cached_property, partial

import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.operators.kernels import sparsify
from search_spaces.operators.kernels.blocks import merged_deltas, numbers_of, without_ties
from search_spaces.operators.kernels.counter import segments
from search_spaces.operators.kernels.counting import Magnitudes, device_of
from search_spaces.operators.kernels.elementwise import Row, survivors
from search_spaces.operators.kernels.form import Form, Merge, Part, Survivors
from search_spaces.operators.kernels.ranks import row_width
from search_spaces.operators.kernels.threshold import Trim, magnitudes_of, trim_to
from search_spaces.operators.memory import Memory, NoMemory, Steps
from search_spaces.operators.operator import Operands

# Whole rows of `sparsify.row_sums`, and few enough elements for a core's cache.
_AT_ONCE = 64 * sparsify.SUMMED_IN_A_ROW


class TaskVectors:
    """δᵢ = θᵢ - θ₀ of an operator's inputs, and what is known of them.

    Attributes:
        tensors: the parents, as stored.
        base: likewise.
        n: how many elements the tensor has.
        memory: of what depends on these tensors alone.
    """

    def __init__(self, operands: Operands) -> None:
        self._operands = operands
        self.tensors = tuple(operands.tensors)
        self.base = operands.task_origin
        self._shape = self.base.shape
        self.n = self.base.numel()
        self.memory: Memory = NoMemory() if operands.memory is None else operands.memory

    @cached_property
    def flat(self) -> tuple[Tensor, ...]:
        """The parents, (n,) each."""
        return tuple(tensor.reshape(-1) for tensor in self.tensors)

    @cached_property
    def flat_base(self) -> Tensor:
        """The base, (n,)."""
        return self.base.reshape(-1)

    def key(self, i: int) -> Hashable:
        """Return what names the i-th task vector; the same for all where nothing is remembered."""
        return self._operands.keys[i] if self._operands.keys else ()

    def magnitudes(self, i: int) -> Magnitudes:
        """Return what computes parts of the i-th task vector's magnitudes."""

        def magnitudes(part: slice) -> Tensor:
            return magnitudes_of(self.flat[i], self.flat_base)(part)

        return magnitudes

    def part(self, i: int, surviving: Survivors) -> Part:
        """Return the numbers of the i-th task vector under a way to sparsify, scaled as `rescale` says."""
        values = self._operands.inputs[i]
        weight = float(values["weight"])
        if surviving == "all":
            return Part(weight)
        density = float(values["density"])
        if surviving in ("band", "chosen"):
            return self._scaled(i, self._within_band(i, Part(weight), surviving), surviving)
        if density == 1.0 or (surviving != "largest" and self.n < sparsify.FEWEST_TO_DROP_FROM):
            return Part(weight, ranks=self._ranks(i) if surviving == "ranked" else None)
        if surviving == "largest":
            return self._scaled(i, Part(weight, low=self._trim(i, density)), surviving)
        # p = slope·rank + intercept is the chance of being kept: the same for all (random), or by rank.
        part = Part(weight, chance=(0.0, density), seed=self._operands.seeds(i))
        if surviving == "ranked":
            chance = sparsify.chance_line(row_width(self._shape), density, float(values["epsilon"]))
            part = part._replace(chance=chance, ranks=self._ranks(i))
        return self._scaled(i, part, surviving)

    def trimmed_again(self, i: int, part: Part, form: Form, share: float) -> Part:
        """Return a part that keeps, of what survives by `form` and is scaled, the share of largest magnitude."""
        alone = form._replace(n_parents=1, consensus="sum", divisor="none", zero_sign="plus", trimmed_again=False)
        left = merged_deltas(Merge(alone, self.tensors[i : i + 1], self.base, (part._replace(weight=1.0),)))
        return part._replace(low=trim_to(left.abs_(), sparsify.n_kept(self.n, share)))

    def _within_band(self, i: int, part: Part, surviving: Survivors) -> Part:
        """Return a part that drops the largest and the smallest magnitudes, of the tensor or (chosen) of each row."""
        density, gamma = (float(self._operands.inputs[i][name]) for name in ("density", "gamma"))
        if surviving == "chosen":
            return part._replace(ranks=self._row_mask(i, density, gamma))
        # Of elements in descending order, the first `top` go, the next k stay: two thresholds.
        k, top = sparsify.band(self.n, density, gamma)
        steps = partial(sparsify.band_steps, gamma=gamma)
        return part._replace(low=self._nth(i, top + k, steps), high=self._nth(i, top, steps))

    def _row_mask(self, i: int, density: float, gamma: float) -> Tensor:
        """Return 1 where a row keeps an element, else 0: uint8 (n,). Rows lie along the last dimension."""
        width = max(1, self._shape[-1] if len(self._shape) else 1)
        k, top = sparsify.band(width, density, gamma)
        order = self.magnitudes(i)(slice(0, self.n)).view(-1, width).sort(dim=1, descending=True, stable=True).indices
        kept = torch.zeros(order.shape, dtype=torch.uint8, device=order.device)
        return kept.scatter_(1, order[:, top : top + k], 1).view(-1)

    def _trim(self, i: int, density: float) -> Trim:
        if self._operands.parameters.get("scope") != "global":
            return self._nth(i, sparsify.n_kept(self.n, density))
        if self._operands.global_trims is None:
            raise SpaceError("scope: expected tensor where one tensor is merged alone, found global")
        return self._operands.global_trims(i, density)

    def _nth(self, i: int, k: int, steps: Steps = sparsify.density_steps) -> Trim:
        key = (steps is sparsify.density_steps, self.key(i))
        return self.memory.trim(key, self.magnitudes(i), k, self.n, steps=steps)

    def _ranks(self, i: int) -> Tensor:
        return self.memory.ranks(self.key(i), self.magnitudes(i), self.n, row_width(self._shape))

    def _scaled(self, i: int, part: Part, surviving: Survivors) -> Part:
        """Return a part whose survivors are multiplied by 1/density, or by what restores the L1 norm."""
        rescale = self._operands.parameters.get("rescale", "none")
        if rescale == "none":
            return part
        if rescale != "l1":
            return part._replace(scale=1.0 / float(self._operands.inputs[i]["density"]))
        # Of a mask there is one for each density and gamma, which the key does not tell: nothing is remembered.
        compute = partial(l1_norms, self.magnitudes(i), self.n, part, surviving)
        key = ("l1", surviving, self.key(i), part.low, part.high, part.chance, part.seed)
        norms = compute() if surviving == "chosen" else self.memory.numbers(key, compute)
        return part._replace(scale=sparsify.l1_gain(*norms))


def l1_norms(magnitudes: Magnitudes, n: int, part: Part, surviving: Survivors) -> tuple[float, float]:
    """Return Σ|δ| and Σ|δ̂|, the L1 norms before and after a task vector is sparsified."""
    merge = Merge(Form(n_parents=1, dtype=torch.float32, survivors=surviving), (), None, (part,))
    places = torch.arange(min(n, _AT_ONCE), dtype=torch.int32, device=device_of(magnitudes))

    def sums(block: tuple[int, int, int, int]) -> tuple[list[float], list[float]]:
        segment, first, start, stop = block
        values = magnitudes(slice(start, stop))  # `survivors` overwrites them
        before = sparsify.row_sums(values)
        ties = any(start <= last < stop for _, last in (part.low, part.high))
        numbers = numbers_of(merge if ties else without_ties(merge, start), segment, first)
        row = Row(numbers.reals[0], numbers.integers[0], None if part.ranks is None else part.ranks[start:stop])
        index = places[: stop - start] + (start - first)
        return before, sparsify.row_sums(survivors(merge.form, values, index, row, ties=ties))

    blocks = [
        (segment, first, start, min(start + _AT_ONCE, end))
        for segment, first, end in segments(n)
        for start in range(first, end, _AT_ONCE)
    ]
    rows = [sums(block) for block in blocks]
    return math.fsum(x for before, _ in rows for x in before), math.fsum(x for _, after in rows for x in after)
