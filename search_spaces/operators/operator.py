"""What an operator is: a pure function of tensors, and what the registry knows about it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from search_spaces.groups import locate
from search_spaces.operators.parameters import Bounds, Choices, Kind
from search_spaces.operators.post_scale import gain
from search_spaces.recipe import Parameter, Side

if TYPE_CHECKING:  # the registry is read without torch
    from torch import Tensor


class Trim(NamedTuple):
    """What magnitude trimming keeps of one tensor.

    Attributes:
        magnitude: every element with |x| above it is kept.
        last: of the elements with |x| equal to it, those are kept whose flat index is at most this; -1 for none.
    """

    magnitude: float
    last: int


class Recall(Protocol):
    """A memory of results that depend on the parents' weights alone, such as a singular value decomposition."""

    def __call__(
        self, what: str, inputs: Sequence[int], compute: Callable[[], tuple[Tensor, ...]]
    ) -> tuple[Tensor, ...]:
        """Return `compute()`, or bit for bit what it returned before; do not write to it.

        Args:
            what: names the computation, with every parameter that it depends on.
            inputs: the inputs whose tensors it reads, in order; the base counts as read, where there is one.
            compute: depends on nothing but `what` and these tensors.
        """
        ...


@dataclass(frozen=True)
class Operands:
    """Everything one operator sees of one tensor.

    Attributes:
        tensors: float32, all of one shape, one per rule input, in the rule's order.
        base: the recipe's base, float32 and of the same shape; None for rules that do not need it.
        inputs: the i-th input's parameters, defaults filled in (`registry.check_rule`).
        parameters: the operator's own parameters, defaults filled in.
        seeds: i -> the seed of the i-th input's random numbers, from (recipe seed, operator, parent, tensor name).
        trims: (i, density) -> the `Trim` of `tensors[i] - base`, for callers that keep thresholds between candidates;
            None computes it with `sparsify.trim`, which is also the definition that a cache must agree with.
        name: of the output tensor; empty outside a model.
        layer: (index of the output layer, number of output layers); None outside the layers.
        factors: remembers what the spectral operators derive from the tensors, between candidates; None computes it.
        global_trims: (i, density) -> the `Trim` of the i-th input's whole task vector, all floating point tensors of
            the model taken as one; None where the caller sees one tensor alone.
    """

    tensors: tuple[Tensor, ...]
    base: Tensor | None
    inputs: tuple[Mapping[str, Parameter], ...]
    parameters: Mapping[str, Parameter]
    seeds: Callable[[int], int]
    trims: Callable[[int, float], Trim] | None = None
    name: str = ""
    layer: tuple[int, int] | None = None
    factors: Recall | None = None
    global_trims: Callable[[int, float], Trim] | None = None

    def numbers(self, name: str) -> list[float]:
        """Return one per-parent parameter of every input, in order."""
        return [float(i[name]) for i in self.inputs]

    def number(self, name: str) -> float:
        """Return one of the operator's own parameters as a float."""
        return float(self.parameters[name])

    @property
    def side(self) -> Side | None:
        """Outside the layers, before or after them; None inside."""
        return None if self.layer is not None else locate(self.name).side

    @property
    def task_origin(self) -> Tensor:
        """The base, for operators that need one: task vectors are differences from it."""
        assert self.base is not None, "the registry says that this operator needs the base"
        return self.base


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One merge method: the function of its name in a module of this package.

    Attributes:
        name: what recipes call it, and the function's name.
        module: the module of `search_spaces.operators` that has the function. It takes `Operands` and returns a new
            float32 tensor of their shape, modifying none of them: with `needs_base` the merged task vector τ, without
            it the merged weights θ.
        input_parameters: per-parent parameters, by name.
        parameters: the operator's own parameters, by name.
        needs_base: whether the method merges task vectors, θ = θ₀ + gain·τ; the gain is `post_scale.gain`.
        n_inputs: fewest and most inputs; most None = any number.
        ordered: whether the inputs' order matters.
        divides_by_weights: whether weights that sum to zero are an error: "never", "always", or the flag that says so.
        in_mergekit: whether mergekit has a method of this name.
        mergekit_defaults: parameters that a mergekit file leaves out, where mergekit's default is not ours.
    """

    name: str
    module: str
    input_parameters: Mapping[str, Kind] = field(default_factory=dict)
    parameters: Mapping[str, Kind] = field(default_factory=dict)
    needs_base: bool = False
    n_inputs: tuple[int, int | None] = (1, None)
    ordered: bool = False
    divides_by_weights: str = "never"
    in_mergekit: bool = True
    mergekit_defaults: Mapping[str, Parameter] = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, Kind]:
        """Every parameter's kind, the per-parent ones first."""
        return {**self.input_parameters, **self.parameters}

    @property
    def genes(self) -> dict[str, Bounds | Choices]:
        """Every parameter that a search may vary -> bounds or choices that suit it."""
        return {name: kind.gene for name, kind in self.kinds.items() if kind.gene is not None}

    @property
    def function(self) -> Callable[[Operands], Tensor]:
        """The method itself; see `module`."""
        home = importlib.import_module(f"search_spaces.operators.{self.module}")
        return cast("Callable[[Operands], Tensor]", getattr(home, self.name))

    def reads_base(self, parameters: Mapping[str, Parameter]) -> bool:
        """Return whether `Operands.base` must be given for a checked rule's parameters."""
        return self.needs_base or parameters.get("deltas") is True

    def reads_depth(self, parameters: Mapping[str, Parameter]) -> bool:
        """Return whether the result depends on where the layer lies in the model, for a checked rule's parameters."""
        return self.name == "layer_swap" or (self.needs_base and parameters.get("lines_beta", 0.0) != 0.0)

    def needs_sound_weights(self, parameters: Mapping[str, Parameter]) -> bool:
        """Return whether weights that sum to zero are an error for a rule's parameters, defaults filled in or not."""
        flag = self.divides_by_weights
        if flag in ("never", "always"):
            return flag == "always"
        return parameters.get(flag, self.parameters[flag].default) is True

    def merge(self, operands: Operands) -> Tensor:
        """Return the merged weights: a new float32 tensor of the operands' shape.

        Raises:
            SpaceError: the parameters make no sense for these operands.
        """
        if not self.needs_base:
            return self.function(operands)
        scale = gain(operands)
        if scale == 0.0:
            return operands.task_origin.clone()
        return self.function(operands).mul_(scale).add_(operands.task_origin)
