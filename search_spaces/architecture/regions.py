"""Which part of a live module's weight each tensor of its checkpoints is, read off transformers' own conversion.

A small stand-in of element numbers is converted in the weight's place, so that 128 experts cost no memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from search_spaces.architecture.modules import UNKNOWN

if TYPE_CHECKING:
    import torch
    from torch import nn

_DIVISIBLE = 12  # rows and columns of a stand-in: cut into 2, 3, 4, 6 or 12 equal parts by what fuses tensors


@dataclass(frozen=True)
class Region:
    """A box of a weight (of three dimensions: experts, rows, columns), as a tensor of its own."""

    box: tuple[slice, ...]
    squeezed: bool = False  # the tensor is of one expert and has two dimensions
    transposed: bool = False  # its last two dimensions are exchanged

    def is_whole(self, shape: tuple[int, ...]) -> bool:
        """Return whether the tensor is the weight as it is."""
        alike = not self.transposed and not self.squeezed
        return alike and [range(size)[s] for s, size in zip(self.box, shape, strict=True)] == list(map(range, shape))

    def of(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the region as a view of the weight, in the tensor's shape."""
        view = weight[self.box].squeeze(0) if self.squeezed else weight[self.box]
        return view.mT if self.transposed else view


class Cuts:
    """How the checkpoints of a live module cut its weights."""

    def __init__(self, live: nn.Module) -> None:
        """Ask transformers; what is none of its models is cut as it is."""
        from transformers import PreTrainedModel
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import PrefixChange

        known = isinstance(live, PreTrainedModel)
        found = get_model_conversion_mapping(cast(Any, live), add_legacy=False) if known else []
        # transformers leaves out prefixes when it saves a model that it did not load, and so does this.
        self._conversions = [each for each in found if not isinstance(each, PrefixChange)]
        self._config = getattr(live, "config", None)

    def regions(self, key: str, shape: tuple[int, ...]) -> dict[str, Region | None]:
        """Return tensor of a checkpoint -> the region of a parameter that it is; None: no region at all.

        Nothing where checkpoints hold all parameters as they are, under their own names.

        Args:
            key: the parameter.
            shape: of it.
        """
        import torch
        from transformers.core_model_loading import revert_weight_conversion

        if not self._conversions:
            return {}
        # Experts, and what may be cut into unequal parts, stay as they are: the first dimension.
        stand_in = shape[:1] + tuple(math.gcd(size, _DIVISIBLE) for size in shape[1:])
        numbers = torch.arange(math.prod(stand_in)).view(stand_in)
        try:
            made = revert_weight_conversion(
                cast(Any, _StandIn(self._config, self._conversions, numbers)), {key: numbers}
            )
        except UNKNOWN:
            return {key: None}
        return {name: _region(numbers, part, shape) for name, part in made.items()}


@dataclass(frozen=True)
class _StandIn:
    """What transformers asks of a model when it saves it."""

    config: Any
    _weight_conversions: list[Any]
    numbers: torch.Tensor

    def get_parameter(self, _: str) -> torch.Tensor:
        return self.numbers


def _region(numbers: torch.Tensor, part: torch.Tensor, shape: tuple[int, ...]) -> Region | None:
    if not part.numel():
        return None
    ends = (_position(int(part[(i,) * part.dim()]), numbers.stride()) for i in (0, -1))
    box = tuple(slice(first, last + 1) for first, last in zip(*ends, strict=True))
    squeezed = part.dim() < numbers.dim()
    if squeezed and box[0].stop - box[0].start != 1:
        return None
    for transposed in (False, True) if part.dim() > 1 else (False,):
        if Region(box, squeezed, transposed).of(numbers).equal(part):
            scales = [full // small for full, small in zip(shape, numbers.shape, strict=True)]
            scaled = tuple(slice(s.start * n, s.stop * n) for s, n in zip(box, scales, strict=True))
            return Region(scaled, squeezed, transposed)
    return None


def _position(number: int, strides: tuple[int, ...]) -> list[int]:
    """Return where a stand-in has a number."""
    found = []
    for stride in strides:
        at, number = divmod(number, stride)
        found.append(at)
    return found
