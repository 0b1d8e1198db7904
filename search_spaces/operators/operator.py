"""What an operator is: a pure function of tensors, and what the registry knows about it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

from search_spaces.operators.parameters import Bounds, Choices, Kind
from search_spaces.recipes.rule import Parameter, Side

if TYPE_CHECKING:  # the registry is read without torch
    from torch import Tensor

    from search_spaces.operators.kernels.form import Merge
    from search_spaces.operators.kernels.threshold import Trim
    from search_spaces.operators.memory import Memory

Method: TypeAlias = "Callable[[Operands], Tensor | Merge]"
T = TypeVar("T", bound="Measured")


class Measured(Protocol):
    """Something that knows its size."""

    @property
    def nbytes(self) -> int:
        """How many bytes it takes."""
        ...


class Recall(Protocol):
    """A memory of results that depend on the parents' weights alone, such as a singular value decomposition."""

    def __call__(
        self,
        what: str,
        inputs: Sequence[int],
        compute: Callable[[], tuple[Tensor, ...]],
        *,
        statistics: Sequence[tuple[int, str]] = (),
    ) -> tuple[Tensor, ...]:
        """Return `compute()`, or bit for bit what it returned before; do not write to it.

        `what` names the computation with every parameter; it reads nothing but these inputs, the base if there is one,
        and some inputs' statistics: (input, kind).
        """
        ...


class Recent(Protocol):
    """A small memory of what was last computed from statistics, for weights that share them."""

    def __call__(self, what: Hashable, statistics: Sequence[tuple[int, str]], compute: Callable[[], T]) -> T:
        """Return `compute()`, or what it returned before; `what` names it with every parameter.

        It reads nothing but some inputs' statistics, (input, kind), and has a `nbytes`.
        """
        ...


@dataclass(frozen=True)
class Operands:
    """Everything one operator sees of one tensor.

    Attributes:
        tensors: of one shape, one per rule input, in the rule's order: float32, or for elementwise operators of any
            floating point dtype, as they are stored.
        base: the recipe's base, likewise; None for rules that do not need it.
        inputs: the i-th input's parameters, defaults filled in (`registry.check_rule`).
        parameters: the operator's own parameters, defaults filled in.
        seeds: i -> the seed of the i-th input's random numbers, from (recipe seed, operator, parent, tensor name).
        name: of the output tensor; empty outside a model.
        layer: (index of the output layer, number of output layers); None outside the layers.
        side: outside the layers, before or after them; None inside.
        keys: the i-th names the i-th tensor and the base, for `memory`.
        memory: what is known of the tensors from earlier candidates; None computes it.
        factors: remembers what the spectral operators derive from the tensors, between candidates; None computes it.
        global_trims: (i, density) -> the `Trim` of the i-th input's whole task vector, all floating point tensors of
            the model taken as one; None where the caller sees one tensor alone.
        statistic: (i, kind) -> what the i-th input's parent computed on prompts (`statistics.store.Kind`), of this
            tensor; it returns None where the tensor has none, such as an embedding. None where there are no statistics.
        recent: remembers what is derived from statistics alone, within a candidate; None computes it.
    """

    tensors: Sequence[Tensor]
    base: Tensor | None
    inputs: tuple[Mapping[str, Parameter], ...]
    parameters: Mapping[str, Parameter]
    seeds: Callable[[int], int]
    name: str = ""
    layer: tuple[int, int] | None = None
    side: Side | None = None
    keys: Sequence[Hashable] = ()
    memory: Memory | None = None
    factors: Recall | None = None
    global_trims: Callable[[int, float], Trim] | None = None
    statistic: Callable[[int, str], Tensor | None] | None = None
    recent: Recent | None = None

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


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One merge method. An operator from outside this package is such a row with a `method`.

    Attributes:
        name: what recipes call it.
        method: takes `Operands` and returns a new float32 tensor of their shape, modifying none of them: with
            `needs_base` the merged task vector τ, without it the merged weights θ. Where it is `elementwise` it returns
            instead what the kernels are to do. None = the function of its name in `module`.
        module: the module of this package that has the method, imported when it is first needed.
        elementwise: whether the method returns a `Merge`; its gain is 1, and it rounds to float32.
        input_parameters: per-parent parameters, by name.
        parameters: the operator's own parameters, by name.
        needs_base: whether the method merges task vectors, θ = θ₀ + gain·τ; the gain is `gain`. With the parameters of
            `catalogue.shared.COMPOSING` it sees the parents from their mean and cut to a rank (`centre: mean` makes the
            mean θ₀), and τ is calibrated: `spectral.calibration`.
        n_inputs: fewest and most inputs; most None = any number.
        ordered: whether the inputs' order matters.
        random: whether it draws random numbers where a parent's density is below 1.
        by_layer: whether the result depends on where the layer lies in the model, LiNeS aside.
        statistics: kinds of the parents' statistics that it reads (`statistics.store.Kind`).
        spectral: whether it works on singular value decompositions, which are kept on disk.
        divides_by_weights: whether weights that sum to zero are an error: "never", "always", or the flag that says so.
        in_mergekit: whether mergekit has a method of this name.
        mergekit_defaults: parameters that a mergekit file leaves out, where mergekit's default is not ours.
        caution: what its defaults do that nobody would expect, one sentence; empty where there is nothing.
        cured_by: parameters of which one has to be searched, or set to another value, so that they do not; empty: none.
    """

    name: str
    method: Method | None = None
    module: str = ""
    elementwise: bool = False
    input_parameters: Mapping[str, Kind] = field(default_factory=dict)
    parameters: Mapping[str, Kind] = field(default_factory=dict)
    needs_base: bool = False
    n_inputs: tuple[int, int | None] = (1, None)
    ordered: bool = False
    random: bool = False
    by_layer: bool = False
    statistics: tuple[str, ...] = ()
    spectral: bool = False
    divides_by_weights: str = "never"
    in_mergekit: bool = True
    mergekit_defaults: Mapping[str, Parameter] = field(default_factory=dict)
    caution: str = ""
    cured_by: tuple[str, ...] = ()

    @property
    def kinds(self) -> dict[str, Kind]:
        """Every parameter's kind, the per-parent ones first."""
        return {**self.input_parameters, **self.parameters}

    @property
    def genes(self) -> dict[str, Bounds | Choices]:
        """Every parameter that a search may vary -> bounds or choices that suit it."""
        return {name: kind.gene for name, kind in self.kinds.items() if kind.gene is not None}

    @property
    def function(self) -> Method:
        """The method itself; see `method`."""
        if self.method is not None:
            return self.method
        return _function(self.module, self.name)

    def reads_base(self, parameters: Mapping[str, Parameter]) -> bool:
        """Return whether `Operands.base` must be given for a checked rule's parameters."""
        return self.needs_base or parameters.get("deltas") is True

    def reads_depth(self, parameters: Mapping[str, Parameter]) -> bool:
        """Return whether the result depends on where the layer lies in the model, for a checked rule's parameters."""
        return self.by_layer or (self.needs_base and parameters.get("lines_beta", 0.0) != 0.0)

    def mixes_elements(self, parameters: Mapping[str, Parameter]) -> bool:
        """Return whether an element of the result depends on others of the tensor, for a checked rule's parameters.

        Thresholds and sums over the tensor aside; what is elementwise mixes nothing unless spectra are cut (CART) or
        calibrated (SVC).
        """
        spectra = parameters.get("svc_alpha", 0.0) != 0.0 or parameters.get("cart_rank_share", 1.0) != 1.0
        return not self.elementwise or (self.needs_base and spectra)

    def apply(self, operands: Operands) -> Tensor | Merge:
        """Return the merged weights, float32 of the operands' shape, or the elementwise merge that makes them."""
        if not self.needs_base:
            return self.function(operands)
        if operands.parameters.get("centre") == "mean" or float(operands.parameters.get("cart_rank_share", 1.0)) < 1.0:
            operands = _calibration().recentred(operands)
        scale = gain(operands)
        if scale == 0.0:
            return operands.task_origin.float().clone()
        made = self.function(operands)
        if operands.parameters.get("svc_alpha", 0.0) != 0.0:
            return cast("Tensor", _calibration().calibrated(operands, made).mul_(scale).add_(operands.task_origin))
        if self.elementwise:
            return cast("Merge", made) if scale == 1.0 else cast("Merge", made)._replace(gain=scale)
        return cast("Tensor", made).mul_(scale).add_(operands.task_origin)

    def merge(self, operands: Operands) -> Tensor:
        """Return the merged weights: a new float32 tensor of the operands' shape; see `apply`."""
        from torch import Tensor

        from search_spaces.operators.kernels.blocks import merged

        made = self.apply(operands)
        return made if isinstance(made, Tensor) else merged(made, operands.tensors[0].shape)


@lru_cache(maxsize=1024)
def _function(module: str, name: str) -> Method:
    return cast("Method", getattr(importlib.import_module(f"{__package__}.{module}"), name))


@lru_cache(maxsize=1)
def _calibration() -> Any:
    """Return the module of what composes with every operator on task vectors; it works with torch and on operands."""
    return importlib.import_module(f"{__package__}.spectral.calibration")


def gain(operands: Operands) -> float:
    """Return what the merged task vector is multiplied by: λ·(α + β·x), x the depth from 0 (first layer) to 1 (last).

    α and β are LiNeS: its single-task form is α + β = 1. A model of one layer has x = 1. Tensors outside the layers
    have x = 0 as in the paper, except that `lines_head: end` gives those after the layers (final norm, head) x = 1.

    Reference: Wang et al. 2025, "LiNeS: Post-training Layer Scaling" (arXiv 2410.17146), equation 3.
    """
    given = operands.parameters
    line = float(given.get("lines_alpha", 1.0)) + float(given.get("lines_beta", 0.0)) * _depth(operands)
    return float(given.get("lambda", 1.0)) * line


def _depth(operands: Operands) -> float:
    if operands.layer is not None:
        index, n_layers = operands.layer
        return index / (n_layers - 1) if n_layers > 1 else 1.0
    return 1.0 if operands.parameters.get("lines_head") == "end" and operands.side == "after" else 0.0
