"""The low-rank updates of a LoRA adapter, s·BA, and the tensors that they change, computed when they are read.

Only the factors lie in memory; no full copy of the model is ever made (Hu et al. 2022, "LoRA", arXiv 2106.09685,
equation 3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from search_spaces.architecture.regions import Region
from search_spaces.parents.checkpoint_files import LazyTensor
from search_spaces.parents.cut_tensor import CutTensor

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class LowRankUpdate:
    """s·BA, the task vector of one weight."""

    down: LazyTensor  # A, (rank, in)
    up: LazyTensor  # B, (out, rank)
    module: str  # what peft calls the module whose weight it changes
    scale: float  # s
    transposed: bool  # the weight is stored (in, out): embeddings, and GPT-2's layers

    @property
    def rank(self) -> int:
        """The inner dimension."""
        return self.down.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """The weight's shape as the checkpoint stores it."""
        out, width = self.up.shape[0], self.down.shape[1]
        return (width, out) if self.transposed else (out, width)

    def factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return left (rows, rank), scaled, and right (rank, columns), float32: their product is the task vector."""
        import torch

        down, up = self.down.read().to(torch.float32), self.up.read().to(torch.float32)
        return (down.T * self.scale, up.T) if self.transposed else (up * self.scale, down)

    def within(self, region: Region) -> LowRankUpdate:
        """Return the update of a part of the weight, of rows and columns in its last two slices."""
        rows, columns = region.box[-2:]
        out, width = (columns, rows) if self.transposed else (rows, columns)
        return LowRankUpdate(
            CutTensor(self.down, Region((slice(None), width))),
            CutTensor(self.up, Region((out, slice(None)))),
            self.module,
            self.scale,
            self.transposed != region.transposed,
        )


@dataclass(frozen=True)
class StackedUpdate:
    """One low-rank update for each expert of a weight of three dimensions, as peft stacks their factors."""

    down: LazyTensor  # (experts x rank, in), an expert's rows together
    up: LazyTensor  # (out, rank x experts), an expert's columns `experts` apart
    n_experts: int
    module: str
    scale: float
    transposed: bool  # the weight is stored (experts, in, out)

    @cached_property
    def rank(self) -> int:
        """Of each expert's update."""
        return self.down.shape[0] // self.n_experts

    def of(self, expert: int) -> LowRankUpdate:
        """Return one expert's."""
        down = Region((slice(expert * self.rank, (expert + 1) * self.rank), slice(None)))
        up = Region((slice(None), slice(expert, None, self.n_experts)))
        return LowRankUpdate(
            CutTensor(self.down, down), CutTensor(self.up, up), self.module, self.scale, self.transposed
        )

    def patches(self, region: Region) -> Iterator[Patch]:
        """Yield what changes in a tensor that is a region of the weight, expert by expert."""
        first, rows, columns = region.box
        inner = Region((rows, columns), transposed=region.transposed)
        for number, expert in enumerate(range(first.start, first.stop)):
            at = (slice(number, number + 1), slice(None), slice(None))
            yield Patch(Region(at, squeezed=True), self.of(expert).within(inner))


@dataclass(frozen=True)
class Patch:
    """A low-rank update of a region of a tensor; None: of all of it."""

    region: Region | None
    update: LowRankUpdate


@dataclass(frozen=True)
class AdaptedTensor:
    """A tensor plus low-rank updates of its regions, in float32 and not rounded."""

    original: LazyTensor
    patches: tuple[Patch, ...]

    @property
    def update(self) -> LowRankUpdate | None:
        """The only update of the whole tensor; None where it is changed in regions."""
        return self.patches[0].update if len(self.patches) == 1 and self.patches[0].region is None else None

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the tensor's shape."""
        return self.original.shape

    @property
    def dtype(self) -> torch.dtype:
        """Return float32."""
        import torch

        return torch.float32

    def read(self) -> torch.Tensor:
        """Return a new tensor: base + s·BA, region by region."""
        import torch

        result = self.original.read().to(torch.float32, copy=True)
        for patch in self.patches:
            part = result if patch.region is None else patch.region.of(result)
            part.addmm_(*patch.update.factors())
        return result


@dataclass(frozen=True)
class TokenRows:
    """A table over the vocabulary with rows of its own for some tokens."""

    original: LazyTensor
    tokens: tuple[int, ...]  # their rows in the table
    rows: LazyTensor  # (tokens, width)

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the table's shape."""
        return self.original.shape

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype that holds both without rounding."""
        import torch

        return torch.promote_types(self.original.dtype, self.rows.dtype)

    def read(self) -> torch.Tensor:
        """Return a new tensor."""
        import torch

        result = self.original.read().to(self.dtype, copy=True)
        return result.index_copy_(0, torch.tensor(self.tokens), self.rows.read().to(self.dtype))
