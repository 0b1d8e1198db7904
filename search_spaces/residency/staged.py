"""Parents whose tensors are read on a device: stored ones from a supply, and what is computed of them there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from search_spaces.parents.alignment import PartOf
from search_spaces.parents.checkpoint_files import ADAPTER_WEIGHTS, LazyTensor, StoredTensor
from search_spaces.parents.cut_tensor import CutTensor
from search_spaces.parents.low_rank_update import AdaptedTensor, LowRankUpdate
from search_spaces.parents.parents import Parents
from search_spaces.residency.supply import Resident, Supply


def staged(parents: Parents, supply: Supply) -> Parents:
    """Return the same parents, whose tensors are read on the supply's device.

    LoRA factors stay there, and their products are computed there. What tables over vocabularies take from several
    parents is put together on the CPU first.
    """
    staging = _Staging(supply)
    return replace(
        parents,
        checkpoints={
            name: checkpoint.having({n: staging.of(checkpoint.lazy(n)) for n in checkpoint.names}, checkpoint.config)
            for name, checkpoint in parents.checkpoints.items()
        },
    )


def stored_in(tensor: LazyTensor) -> Iterator[StoredTensor]:
    """Yield what a staged tensor reads from its supply."""
    match tensor:
        case _Supplied():
            yield tensor.stored
        case CutTensor():
            yield from stored_in(tensor.tensor)
        case PartOf():
            yield from stored_in(tensor.packed)
        case AdaptedTensor():
            yield from stored_in(tensor.original)


@dataclass(frozen=True)
class _Supplied:
    """A stored tensor, from a supply."""

    stored: StoredTensor
    supply: Supply

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.stored.dtype

    def read(self) -> Tensor:
        return self.supply.read(self.stored)


@dataclass(frozen=True)
class _Moved:
    """Whatever is computed on the CPU, and copied."""

    tensor: LazyTensor
    device: torch.device

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.tensor.dtype

    def read(self) -> Tensor:
        return self.tensor.read().to(self.device)


@dataclass(frozen=True)
class _Staging:
    supply: Supply

    @cached_property
    def _factors(self) -> Resident:
        return Resident(self.supply.device)

    @cached_property
    def _known(self) -> dict[int, tuple[LazyTensor, LazyTensor]]:
        return {}

    def of(self, tensor: LazyTensor) -> LazyTensor:
        """Return a staged tensor, the same for the same one: a head that is the embedding stays it."""
        if id(tensor) not in self._known:
            self._known[id(tensor)] = tensor, self._of(tensor)
        return self._known[id(tensor)][1]

    def _of(self, tensor: LazyTensor) -> LazyTensor:
        match tensor:
            case StoredTensor():
                factor = tensor.path.name == ADAPTER_WEIGHTS
                return _Supplied(tensor, self._factors if factor else self.supply)
            case CutTensor():
                return replace(tensor, tensor=self.of(tensor.tensor))
            case PartOf():
                return replace(tensor, packed=self.of(tensor.packed))
            case AdaptedTensor():
                patches = tuple(replace(patch, update=self._update(patch.update)) for patch in tensor.patches)
                return AdaptedTensor(self.of(tensor.original), patches)
        return _Moved(tensor, self.supply.device)

    def _update(self, update: LowRankUpdate) -> LowRankUpdate:
        return replace(update, down=self.of(update.down), up=self.of(update.up))
