"""Products of a model's weights with activations, seen as they happen, whatever module makes them.

A linear layer, transformers' `Conv1D`, a convolution and a fused expert all end in one of a few functions of torch,
with a parameter or a slice of one as an argument; a `TorchFunctionMode` sees them. Nothing here knows architectures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# Where the input and the weight stand among the arguments.
_MATRIX_PRODUCTS: dict[Any, tuple[int, int]] = {
    functional.linear: (0, 1),
    torch.addmm: (1, 2),
    **dict.fromkeys([torch.mm, torch.bmm, torch.matmul], (0, 1)),
    **dict.fromkeys([Tensor.mm, Tensor.bmm, Tensor.matmul, Tensor.__matmul__], (0, 1)),
}
_CONVOLUTIONS: dict[Any, int] = {torch.conv1d: 1, torch.conv2d: 2}  # -> number of spatial dimensions
_SETTINGS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
_CONVOLUTION_ARGUMENTS = ("input", "weight", "bias", *_SETTINGS)


@dataclass(frozen=True)
class Window:
    """What a convolution sees of its input, per spatial dimension."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]  # zeros before and after
    groups: int

    def patches(self, source: Tensor) -> Tensor:
        """Return (g, B·L, C/g·k) of (B, C, *spatial): a row is what an output place sees, as in `weight.flatten(1)`."""
        image = functional.pad(source, [p for pair in reversed(self.padding) for p in pair])
        size, stride, dilation = self.size, self.stride, self.dilation
        if len(size) == 1:
            image, size, stride, dilation = image[:, :, None], (1, *size), (1, *stride), (1, *dilation)
        columns = functional.unfold(image, size, dilation, 0, stride)  # (B, C·k, L)
        batch, width, places = columns.shape
        columns = columns.view(batch, self.groups, width // self.groups, places)
        return columns.permute(1, 0, 3, 2).reshape(self.groups, batch * places, width // self.groups)


@dataclass(frozen=True, eq=False)
class Product:
    """One product of a weight and its input.

    Attributes:
        weight: the parameter's name.
        expert: which slice of a packed parameter (E, ...) it is; None for a whole parameter.
        source: the input as it was given: (..., n), (E, T, n) of all experts, or (B, C, *spatial) of a convolution.
        output: what came out.
        n_stacked: how many matrices lie in the weight that acted on inputs of their own, all at once: all experts, or
            a convolution's groups; None for one matrix.
        window: of a convolution.
        input_first: whether the weight is stored as (n, o) or (E, n, o) rather than (o, n).
    """

    weight: str
    expert: int | None
    source: Tensor
    output: Tensor
    n_stacked: int | None = None
    window: Window | None = None
    input_first: bool = False

    @property
    def n_inputs(self) -> int:
        """How many inputs each of the matrices has: n."""
        if self.window is None:
            return int(self.source.shape[-1])
        return int(self.source.shape[1]) // self.window.groups * prod(self.window.size)

    def rows(self) -> Tensor:
        """Return the inputs as rows: (1, R, n), or (n_stacked, R, n)."""
        if self.window is not None:
            return self.window.patches(self.source)
        return self.source if self.n_stacked else self.source.reshape(1, -1, self.source.shape[-1])


class WeightProducts(TorchFunctionMode):
    """While it is active, tells of each product of some parameters, after it was made."""

    def __init__(self, parameters: Mapping[str, Tensor], tell: Callable[[Product], None]) -> None:
        """Watch parameters, by name; on the meta device only whole ones are known again."""
        super().__init__()
        self._tell = tell
        self._parameters = dict(parameters)
        self._whole = {id(parameter): name for name, parameter in parameters.items()}
        self._places: dict[tuple[int, int], tuple[str, int | None]] = {}  # (address, dimensions)
        real = {n: p.detach() for n, p in parameters.items() if p.numel() and p.device.type != "meta"}
        for name, parameter in real.items():
            self._places[parameter.data_ptr(), parameter.dim()] = name, None
            for e, expert in enumerate(parameter if parameter.dim() == 3 else ()):
                self._places[expert.data_ptr(), 2] = name, e

    def __torch_function__(
        self, function: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Carry out the function, and tell of it where it is a product."""
        output = function(*args, **(kwargs or {}))
        if function in _MATRIX_PRODUCTS:
            source, weight = _MATRIX_PRODUCTS[function]
            if len(args) > weight and (found := self._find(args[weight])):
                is_linear = function is functional.linear
                self._tell(self._matrix_product(found, (args[source], args[weight], output), is_linear))
        elif function in _CONVOLUTIONS:
            given = dict(zip(_CONVOLUTION_ARGUMENTS, args, strict=False)) | (kwargs or {})
            if found := self._find(given["weight"]):
                self._tell(_convolution(found[0], given, output, _CONVOLUTIONS[function]))
        return output

    def _find(self, weight: Any) -> tuple[str, int | None] | None:
        if not isinstance(weight, Tensor) or weight.dim() < 2:
            return None
        if id(weight) in self._whole:
            return self._whole[id(weight)], None
        return None if weight.device.type == "meta" else self._places.get((weight.data_ptr(), weight.dim()))

    def _matrix_product(
        self, found: tuple[str, int | None], tensors: tuple[Tensor, Tensor, Tensor], is_linear: bool
    ) -> Product:
        name, expert = found
        source, weight, output = tensors
        stored = self._parameters[name].stride()
        as_stored = weight.stride() == (stored if expert is None else stored[1:])
        n_stacked = len(weight) if weight.dim() == 3 else None
        # `linear` takes (o, n), the other products (n, o): given transposed, the stored matrix is the other way round.
        return Product(name, expert, source, output, n_stacked, None, as_stored != is_linear)


def _convolution(name: str, given: dict[str, Any], output: Tensor, n_dimensions: int) -> Product:
    source, weight = given["input"], given["weight"]
    window = _window(weight, *(given.get(key, default) for key, default in _SETTINGS.items()))
    batched = source if source.dim() == n_dimensions + 2 else source[None]
    return Product(name, None, batched, output, window.groups if window.groups > 1 else None, window)


def _window(weight: Tensor, stride: Any, padding: Any, dilation: Any, groups: int) -> Window:
    size = tuple(weight.shape[2:])
    strides, dilations = (_each(value, len(size)) for value in (stride, dilation))
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(dilations, size, strict=True)]
        pads = tuple((total // 2, total - total // 2) for total in totals)
    else:
        pads = tuple((p, p) for p in _each(0 if padding == "valid" else padding, len(size)))
    return Window(size, strides, dilations, pads, groups)


def _each(value: int | tuple[int, ...], n: int) -> tuple[int, ...]:
    given = (value,) if isinstance(value, int) else tuple(value)
    return given * n if len(given) == 1 else given
