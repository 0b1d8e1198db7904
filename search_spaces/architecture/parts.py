"""How the checkpoints of an architecture name and cut a live module's weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_spaces.architecture.regions import Cuts
from search_spaces.errors import SpaceError

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Part:
    """Where a checkpoint's tensor lies in one of a module's weights."""

    name: str  # of the checkpoint's tensor
    shape: tuple[int, ...]  # of it
    strides: tuple[int, ...]  # in the weight's elements
    offset: int  # of its first element in the weight

    def of(self, weight: Tensor) -> Tensor:
        """Return a view of the part in a contiguous weight."""
        return weight.as_strided(self.shape, self.strides, weight.storage_offset() + self.offset)


def checkpoint_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Return views of a module's weights under the names that its checkpoints use."""
    state: dict[str, Tensor] = dict(module.state_dict())
    parts = checkpoint_parts(module, state)
    return {part.name: part.of(weight) for key, weight in state.items() for part in parts[key]}


def checkpoint_parts(module: nn.Module, keys: Iterable[str]) -> dict[str, tuple[Part, ...]]:
    """Return which tensors of a checkpoint each of a module's weights is made of.

    For most architectures that is one tensor of the same name. Where transformers fuses a checkpoint's tensors into
    one parameter (experts, for example), each of them is a part.
    """
    state, cuts = module.state_dict(), Cuts(module)
    return {key: tuple(_parts(key, state[key], cuts)) for key in keys}


def _parts(key: str, weight: Tensor, cuts: Cuts) -> Iterator[Part]:
    import torch

    shape = tuple(weight.shape)
    regions = cuts.regions(key, shape) if weight.numel() else {}
    if not regions:
        yield Part(key, shape, weight.stride(), 0)
    whole = torch.empty(shape, device="meta")
    for name, region in regions.items():
        if region is None or not weight.is_contiguous():
            raise SpaceError(f"{name}: expected a plain part of one of the model's parameters, found a permuted one")
        part = region.of(whole)
        yield Part(name, tuple(part.shape), part.stride(), int(part.storage_offset()))
