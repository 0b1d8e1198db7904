"""How the checkpoints of an architecture name and cut a live module's weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    from transformers import PreTrainedModel
    from transformers.conversion_mapping import get_model_conversion_mapping

    state = module.state_dict()
    fused = isinstance(module, PreTrainedModel) and get_model_conversion_mapping(module, add_legacy=False)
    return {key: _split(module, key, state[key]) if fused else (_whole(key, state[key]),) for key in keys}


def _whole(key: str, tensor: Tensor) -> Part:
    return Part(key, tuple(tensor.shape), tensor.stride(), 0)


def _split(module: Any, key: str, tensor: Tensor) -> tuple[Part, ...]:
    """Let transformers split a tensor of element numbers, and read off which elements each part holds."""
    import torch
    from transformers.core_model_loading import revert_weight_conversion

    numbers = torch.arange(tensor.numel()).view(tensor.shape)
    parts = revert_weight_conversion(module, {key: numbers})
    return tuple(_part(tensor, part, name) for name, part in parts.items())


def _part(tensor: Tensor, numbers: Tensor, name: str) -> Part:
    import torch

    first = int(numbers.flatten()[0]) if numbers.numel() else 0
    strides = [
        int(numbers.select(d, 1).flatten()[0]) - first if size > 1 else 1 for d, size in enumerate(numbers.shape)
    ]
    elements = torch.tensor(first)
    for size, stride in zip(numbers.shape, strides, strict=True):
        elements = elements.unsqueeze(-1) + torch.arange(size) * stride
    plain = tensor.is_contiguous() and all(stride >= 0 for stride in strides)
    if not plain or not elements.equal(numbers):
        raise SpaceError(f"{name}: expected a plain part of one of the model's parameters, found a permuted one")
    return Part(name, tuple(numbers.shape), tuple(strides), first)
