"""What an operator is: a pure function of tensors, and what the registry knows about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from search_spaces.recipe import Parameter


class Trim(NamedTuple):
    """What magnitude trimming keeps of one tensor: exactly k elements, ties broken by flat index.

    Attributes:
        magnitude: every element with |x| above it is kept.
        n_ties: how many of the elements with |x| equal to it are kept, first come in flat index order.
    """

    magnitude: float
    n_ties: int


@dataclass(frozen=True)
class Operands:
    """Everything one operator sees of one tensor.

    Attributes:
        tensors: float32, all of one shape, one per rule input, in the rule's order.
        base: the recipe's base, float32 and of the same shape; None for operators that do not need it.
        inputs: the i-th input's parameters, defaults filled in (`registry.check_rule`).
        parameters: the operator's own parameters, defaults filled in.
        generators: i -> a fresh generator of the i-th input, seeded by (recipe seed, operator, parent, tensor name).
        trims: (i, density) -> the `Trim` of `tensors[i] - base`, for callers that keep thresholds between candidates;
            None computes it with `sparsify.trim`, which is also the definition that a cache must agree with.
    """

    tensors: tuple[Tensor, ...]
    base: Tensor | None
    inputs: tuple[Mapping[str, Parameter], ...]
    parameters: Mapping[str, Parameter]
    generators: Callable[[int], torch.Generator]
    trims: Callable[[int, float], Trim] | None = None

    def numbers(self, name: str) -> list[float]:
        """Return one per-parent parameter of every input, in order."""
        return [float(i[name]) for i in self.inputs]

    def number(self, name: str) -> float:
        """Return one of the operator's own parameters as a float."""
        return float(self.parameters[name])

    @property
    def task_origin(self) -> Tensor:
        """The base, for operators that need one: task vectors are differences from it."""
        assert self.base is not None, "the registry says that this operator needs the base"
        return self.base


@dataclass(frozen=True)
class Operator:
    """One merge method.

    Attributes:
        name: what recipes call it.
        merge: the method; returns a new float32 tensor of the operands' shape and modifies none of them.
        input_parameters: per-parent parameters -> default; None means that the rule must give it.
        parameters: the operator's own parameters -> default; None means that the rule must give it.
        genes: the parameters of both kinds that a search may vary -> default bounds (low, high).
        needs_base: whether `Operands.base` must be given.
        n_inputs: fewest and most inputs; most None = any number.
    """

    name: str
    merge: Callable[[Operands], Tensor]
    input_parameters: Mapping[str, Parameter | None]
    parameters: Mapping[str, Parameter | None]
    genes: Mapping[str, tuple[float, float]]
    needs_base: bool
    n_inputs: tuple[int, int | None] = (1, None)
