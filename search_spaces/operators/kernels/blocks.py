"""Carrying out elementwise merges: eagerly in blocks that fit the cache, or compiled once a form has done enough."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

from search_spaces.operators.kernels.compiled import CompiledKernels
from search_spaces.operators.kernels.counter import bits_below, segments, words
from search_spaces.operators.kernels.elementwise import Numbers, Read, merge_elements, task_vector
from search_spaces.operators.kernels.form import Merge, Part
from search_spaces.operators.kernels.threshold import below

# Blocks of float32 that fit the cores' caches together, and are worth sharing among torch's threads: Python's threads
# would wait for the interpreter longer than they compute.
_BLOCK = 1 << 18

# torch compiles sizes of 0 and 1 apart; a few more elements are not worth a call either.
_FEWEST_TO_COMPILE_FOR = 64

# On other devices every operation is a kernel that is started from here: few large ones.
_BLOCK_ELSEWHERE = 1 << 24

_LARGEST_INDEX = (1 << 31) - 1


def merge_into(out: Tensor, merge: Merge, *, compiled: CompiledKernels | None = None, block: int | None = None) -> bool:
    """Carry out an elementwise merge, in compiled kernels where they pay; return whether every element is finite.

    `out` is (n,), contiguous, of a dtype that holds every value of the form's, and lies where the parents do. On a CPU
    the bits are always the same. Elsewhere they are computed by the same operations, each rounded by itself; kernels
    are compiled on CPUs only. `block` changes nothing but the time.
    """
    merge, finite, on_cpu = merge.flat, True, out.device.type == "cpu"
    block = block or (_BLOCK if on_cpu else _BLOCK_ELSEWHERE)
    for segment, start, stop in segments(out.numel()):
        part = slice(start, stop)
        eagerly = functools.partial(_in_blocks, merge, out, part, segment, block)
        if compiled is None or not on_cpu or stop - start < _FEWEST_TO_COMPILE_FOR:
            finite &= eagerly()
        else:
            numbers = numbers_of(merge, segment, start)
            finite &= compiled.run(merge.form, _read(merge, part), numbers, out[part], eagerly=eagerly)
    return finite


def merged_together(merges: Sequence[Merge]) -> tuple[Tensor, bool]:
    """Return the merged tensors of k merges that are `alike`, (k, n) in the form's dtype, and whether all are finite.

    n is at most a segment's.
    """

    def stacked(tensors: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
        return torch.stack(tensors).view(len(merges), -1)

    form = merges[0].form
    tensors = [stacked(same) for same in zip(*(merge.tensors for merge in merges), strict=True)]
    bases = [merge.base for merge in merges if merge.base is not None]
    ranks = zip(*([part.ranks for part in merge.parts if part.ranks is not None] for merge in merges), strict=True)
    read = Read(tensors, stacked(bases) if bases else None, [torch.stack(same) for same in ranks])
    out = torch.empty(tensors[0].shape, dtype=form.dtype, device=tensors[0].device)
    numbers = Numbers(*(number.to(out.device) for number in _numbers_of_all(merges)))
    largest = merge_elements(form, read, numbers, out)
    return out, bool(largest.isfinite())


def alike(merge: Merge) -> Hashable:
    """Return what merges share that can be carried out together; None if this one has to be alone."""
    form, tensors, base, parts, *_ = merge
    if not tensors:
        return None
    ranks = [(p.ranks.dtype, p.ranks.dim()) for p in parts if p.ranks is not None]
    return form, tensors[0].shape, None if base is None else base.dtype, *[t.dtype for t in tensors], *ranks


def merged(merge: Merge, shape: Sequence[int]) -> Tensor:
    """Return the merged weights, a new float32 tensor of a shape."""
    out = torch.empty(tuple(shape), device=merge.device)
    merge_into(out.view(-1), merge)
    return out


@torch.no_grad()
def merged_deltas(merge: Merge) -> Tensor:
    """Return the merged task vector τ of a merge of such, before the gain: float32 (n,), at once and not in blocks."""
    merge = merge.flat
    assert merge.base is not None
    merged = torch.empty(merge.base.numel(), device=merge.device)
    for segment, start, stop in segments(merged.numel()):
        read = _read(merge, slice(start, stop))
        deltas = [tensor.to(torch.float32) - merge.base[start:stop].to(torch.float32) for tensor in read.tensors]
        merged[start:stop] = task_vector(merge.form, deltas, read.ranks, numbers_of(merge, segment, start), ties=True)
    return merged


@torch.no_grad()
def _in_blocks(merge: Merge, out: Tensor, part: slice, segment: int, block: int) -> bool:
    """Merge a part of a segment in blocks, none of which has an element that is kept as a tie and one that is not.

    Within such a block a threshold alone says what is kept: comparing indices would take as long as all the rest.
    """
    lasts = (merge.selection[1], *(last for p in merge.parts for _, last in (p.low, p.high)))
    borders = sorted({part.start, part.stop, *(last + 1 for last in lasts if part.start <= last < part.stop)})
    finite = True
    for first, stop in itertools.pairwise(borders):
        numbers = numbers_of(without_ties(merge, first), segment, part.start)
        for start in range(first, stop, block):
            here = slice(start, min(start + block, stop))
            placed = numbers._replace(start=torch.tensor(start - part.start, dtype=torch.int32))
            largest = merge_elements(merge.form, _read(merge, here), placed, out[here], ties=False)
            finite &= bool(largest.isfinite())
    return finite


def without_ties(merge: Merge, index: int) -> Merge:
    """Return a merge whose thresholds say by themselves what is kept from an index on, up to the next last tie."""

    def exact(trim: tuple[float, int]) -> tuple[float, int]:
        magnitude, last = trim
        return (below(magnitude) if index <= last else magnitude), -1

    # |x| >= t is |x| > the float32 below t: up to the last tie that is what is kept, and |x| > t after it.
    parts = tuple(p._replace(low=exact(p.low), high=exact(p.high)) for p in merge.parts)
    return merge._replace(parts=parts, selection=exact(merge.selection))


def _read(merge: Merge, part: slice) -> Read:
    base = None if merge.base is None else merge.base[part]
    ranks = [p.ranks[part] for p in merge.parts if p.ranks is not None]
    return Read([tensor[part] for tensor in merge.tensors], base, ranks)


def numbers_of(merge: Merge, segment: int, start: int) -> Numbers:
    """Return a merge's numbers for a segment that begins at an index, on the CPU.

    Of each, kernels on other devices take single numbers, which need no copy.
    """
    # Rows of reals and integers are parents; `elementwise` names their columns.
    return Numbers(
        torch.zeros((), dtype=torch.int32),
        torch.tensor([_reals(p) for p in merge.parts], dtype=torch.float32),
        torch.tensor([_integers(p, segment, start) for p in merge.parts], dtype=torch.int32),
        torch.tensor([merge.gain, merge.divisor, merge.selection[0], below(merge.selection[0])], dtype=torch.float32),
        torch.tensor(_within(merge.selection[1], start), dtype=torch.int32),
    )


def _numbers_of_all(merges: Sequence[Merge]) -> Numbers:
    """Return the numbers of k merges, each (k, 1)."""
    return Numbers(
        torch.zeros((), dtype=torch.int32),
        _columns([[_reals(p) for p in m.parts] for m in merges], np.float32),
        _columns([[_integers(p, 0, 0) for p in m.parts] for m in merges], np.int32),
        _columns([(m.gain, m.divisor, m.selection[0], below(m.selection[0])) for m in merges], np.float32),
        _columns([_within(m.selection[1], 0) for m in merges], np.int32),
    )


def _columns(numbers: Sequence[object], dtype: type[np.number]) -> Tensor:
    """Return numbers (k, ...) as (..., k, 1); of nested lists NumPy makes arrays several times as fast as torch."""
    with np.errstate(over="ignore"):  # as torch rounds what is too large to infinity
        return torch.from_numpy(np.moveaxis(np.array(numbers, dtype=dtype), 0, -1)).unsqueeze(-1)


def _reals(part: Part) -> list[float]:
    weight, low, high, (slope, intercept), scale, *_ = part
    # Half of it, exactly: ranks are doubled.
    return [weight, low[0], high[0], slope / 2.0, intercept, scale, below(low[0]), below(high[0])]


def _integers(part: Part, segment: int, start: int) -> list[int]:
    _, low, high, (_, intercept), _, seed, _ = part
    return [_within(low[1], start), _within(high[1], start), *words(seed, segment), bits_below(intercept)]


def _within(last: int, start: int) -> int:
    return last if start == 0 and last < _LARGEST_INDEX else min(max(last - start, -1), _LARGEST_INDEX)
