"""Parts of other tensors, as tensors of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_spaces.architecture.regions import Region
from search_spaces.parents.checkpoint_files import LazyTensor

if TYPE_CHECKING:
    import torch


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
