"""Recipes made of pieces: which parts of which tensor they make, and making them."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.operators.kernels.blocks import merge_into
from search_spaces.operators.kernels.compiled import CompiledKernels
from search_spaces.operators.kernels.form import Form, Merge, Part
from search_spaces.parents.parents import Parents
from search_spaces.recipes.flat_layout import FlatLayout
from search_spaces.recipes.pieces import Pieces


@dataclass(frozen=True)
class Piece:
    """A part of a flat tensor that is one linear combination."""

    start: int  # its first element
    stop: int  # the element after its last
    coefficients: tuple[float, ...]  # each parent's


class TensorPieces:
    """The pieces of a recipe, tensor by tensor; the merged model has the base's tensors."""

    def __init__(self, pieces: Pieces, parents: Parents, base: str) -> None:
        self._pieces = pieces
        layout = flat_layout(parents, base)
        if pieces.boundaries[-1] != layout.size:
            raise SpaceError(
                f"pieces.boundaries: expected the last to be {layout.size}, the number of floating-point parameters "
                f"of {base!r}, found {pieces.boundaries[-1]}"
            )
        starts = layout.starts.tolist()
        self._ranges = dict(zip(layout.names, itertools.pairwise(starts), strict=True))

    def of(self, name: str) -> tuple[Piece, ...]:
        """Return the pieces of a tensor, in order; none of a tensor without elements."""
        if name not in self._ranges:
            return ()
        start, stop = self._ranges[name]
        boundaries, rows = self._pieces.boundaries, self._pieces.coefficients
        found: list[Piece] = []
        for i in range(bisect_right(boundaries, start) - 1, len(rows)):
            if boundaries[i] >= stop:
                break
            first, last = max(boundaries[i], start) - start, min(boundaries[i + 1], stop) - start
            found.append(Piece(first, last, rows[i]))
        return tuple(found)


def flat_layout(parents: Parents, base: str) -> FlatLayout:
    """Return the order of the base's floating-point parameters; a head that repeats the embedding is left out."""
    checkpoint = parents[base]
    sizes = {
        name: torch.Size(checkpoint.shape(name)).numel()
        for name in checkpoint.names
        if checkpoint.dtype(name).is_floating_point and not (checkpoint.tied and name == checkpoint.head)
    }
    return FlatLayout.of_checkpoint(sizes)


@dataclass(frozen=True)
class MergeOfPieces:
    """What kernels are to do for a tensor of several pieces."""

    pieces: tuple[tuple[slice, Merge], ...]  # the elements of the flat tensor, and how they are made

    @property
    def device(self) -> torch.device:
        """Where it is carried out."""
        return self.pieces[0][1].device


def merge_of_pieces(pieces: Sequence[Piece], tensors: Sequence[Tensor], dtype: torch.dtype) -> Merge | MergeOfPieces:
    """Return what makes Σ_k c_k θ_k piece by piece, in float32 and rounded once.

    A parent whose coefficient is 0 is not read, so a piece that is one parent alone has its very bits.
    """
    found = []
    for piece in pieces:
        part = slice(piece.start, piece.stop)
        used = [(t.reshape(-1)[part], c) for t, c in zip(tensors, piece.coefficients, strict=True) if c != 0.0]
        form = Form(n_parents=len(used), dtype=dtype, of_deltas=False)
        found.append((part, Merge(form, tuple(t for t, _ in used), None, tuple(Part(c) for _, c in used))))
    return found[0][1] if len(found) == 1 else MergeOfPieces(tuple(found))


def merge_pieces_into(out: Tensor, merge: MergeOfPieces, *, compiled: CompiledKernels | None = None) -> bool:
    """Carry out a merge of pieces, `out` flat; return whether every element is finite."""
    finite = True
    for part, piece in merge.pieces:
        finite &= merge_into(out[part], piece, compiled=compiled)
    return finite
