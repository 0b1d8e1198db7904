"""Which part of a live module's weight each tensor of its checkpoints is, read off transformers' own conversion.

A small stand-in of element numbers is converted in the weight's place, so that 128 experts cost no memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from search_spaces.architecture.modules import UNKNOWN
from search_spaces.parents.checkpoint_files import LazyTensor

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


@dataclass(frozen=True)
class CutTensor:
    """A part of another tensor."""

    tensor: LazyTensor
    region: Region

    @property
    def shape(self) -> tuple[int, ...]:
        """The part's."""
        import torch

        return tuple(self.region.of(torch.empty(self.tensor.shape, device="meta")).shape)

    @property
    def dtype(self) -> torch.dtype:
        """The whole tensor's."""
        return self.tensor.dtype

    def read(self) -> torch.Tensor:
        """Return a view."""
        return self.region.of(self.tensor.read())


def regions_in_checkpoints(live: nn.Module, key: str) -> dict[str, Region | None]:
    """Return tensor of a checkpoint -> the region of a live module's weight that it is; None: no region at all.

    Args:
        live: a module on the meta device.
        key: one of its parameters.
    """
    import torch
    from transformers.core_model_loading import revert_weight_conversion

    shape = tuple(live.state_dict()[key].shape)
    # Experts, and what may be cut into unequal parts, stay as they are: the first dimension.
    stand_in = shape[:1] + tuple(math.gcd(size, _DIVISIBLE) for size in shape[1:])
    numbers = torch.arange(math.prod(stand_in)).view(stand_in)
    try:
        made: dict[str, Any] = revert_weight_conversion(cast(Any, live), {key: numbers})
    except UNKNOWN:
        return {key: None}
    return {name: _region(numbers, part, shape) for name, part in made.items()}


def _region(numbers: torch.Tensor, part: torch.Tensor, shape: tuple[int, ...]) -> Region | None:
    import torch

    if not part.numel():
        return None
    ends = (torch.unravel_index(part.flatten()[i], numbers.shape) for i in (0, -1))
    box = tuple(slice(int(first), int(last) + 1) for first, last in zip(*ends, strict=True))
    squeezed = part.dim() < numbers.dim()
    if squeezed and box[0].stop - box[0].start != 1:
        return None
    for transposed in (False, True) if part.dim() > 1 else (False,):
        if Region(box, squeezed, transposed).of(numbers).equal(part):
            scales = [full // small for full, small in zip(shape, numbers.shape, strict=True)]
            scaled = tuple(slice(s.start * n, s.stop * n) for s, n in zip(box, scales, strict=True))
            return Region(scaled, squeezed, transposed)
    return None
