"""The one function that merges elementwise: eager over a block, or compiled over a whole tensor, with the same bits.

It gives the bits of the operators of its form (`search_spaces.operators`), which are the definition: the same float32
operations in the same order, each rounded by itself. Masks multiply, as there, so that NaN stays NaN and zero keeps
its sign.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from search_spaces.operators.agreement import CANCELLING_SHARE
from search_spaces.operators.counter import bits_at, uniform_at
from search_spaces.weights.kernels.form import Form

# Columns of `Numbers.reals` and `Numbers.integers`.
WEIGHT, LOW, HIGH, SLOPE, INTERCEPT, SCALE = range(6)
LOW_LAST, HIGH_LAST, FIRST_WORD, SECOND_WORD, BITS_BELOW = range(5)


class Numbers(NamedTuple):
    """A merge's numbers as tensors: a compiled kernel serves them all.

    Attributes:
        start: int32 (), the index of the first element in its segment.
        reals: float32 (n_parents, 6).
        integers: int32 (n_parents, 5).
        whole: float32 (3,): gain, divisor, the selection's magnitude.
        selection_last: int32 ().
    """

    start: Tensor
    reals: Tensor
    integers: Tensor
    whole: Tensor
    selection_last: Tensor


class Read(NamedTuple):
    """What a merge reads.

    Attributes:
        tensors: (n,) each, of any floating point dtype.
        base: (n,), where task vectors are merged.
        ranks: (n,) or (2, n) each, where survivors are ranked; see `form.Part`.
    """

    tensors: list[Tensor]
    base: Tensor | None
    ranks: list[Tensor]


def merge_elements(form: Form, read: Read, numbers: Numbers, out: Tensor) -> Tensor:
    """Write the merged elements; return the largest magnitude, float32 (), NaN if any element is.

    Args:
        form: the choices.
        read: see `Read`.
        numbers: see `Numbers`.
        out: (n,), n > 0, of a dtype that holds every value of `form.dtype`.
    """
    index = torch.arange(out.numel(), dtype=torch.int32) + numbers.start
    values = [tensor.to(torch.float32) for tensor in read.tensors]
    if read.base is None:
        merged = _weighted_sum(values, numbers)
    else:
        origin = read.base.to(torch.float32)
        deltas = [value - origin for value in values]
        if form.consensus == "sce":
            merged = _sce(form, deltas, index, numbers)
        else:
            kept = [_survivors(form, delta, index, _Row.of(read, numbers, i)) for i, delta in enumerate(deltas)]
            votes = [delta * numbers.reals[i, WEIGHT] for i, delta in enumerate(kept)]
            merged = {"sum": _total, "sign": _agreeing, "largest": _largest}[form.consensus](form, votes, numbers)
        merged = merged * numbers.whole[0] + origin
    rounded = merged.to(form.dtype)
    out.copy_(rounded)
    return rounded.to(torch.float32).abs().amax()


def _weighted_sum(values: list[Tensor], numbers: Numbers) -> Tensor:
    total = values[0] * numbers.reals[0, WEIGHT]
    for i, value in enumerate(values[1:], 1):
        total = total + value * numbers.reals[i, WEIGHT]
    return total


class _Row(NamedTuple):
    """One parent's rows of the numbers, and its ranks."""

    reals: Tensor
    integers: Tensor
    ranks: Tensor | None

    @staticmethod
    def of(read: Read, numbers: Numbers, i: int) -> _Row:
        return _Row(numbers.reals[i], numbers.integers[i], read.ranks[i] if read.ranks else None)


def _survivors(form: Form, delta: Tensor, index: Tensor, row: _Row) -> Tensor:
    reals, integers, ranks = row
    if form.survivors in ("largest", "band"):
        kept = _above(delta.abs(), index, reals[LOW], integers[LOW_LAST])
        if form.survivors == "band":
            kept = kept & ~_above(delta.abs(), index, reals[HIGH], integers[HIGH_LAST])
        delta = delta * kept
    elif form.survivors in ("random", "ranked"):
        bits = bits_at(index, integers[FIRST_WORD], integers[SECOND_WORD])
        if ranks is not None:
            chance = _rank(ranks) * reals[SLOPE] + reals[INTERCEPT]
            kept = uniform_at(bits) < chance
            return delta * kept / chance if form.scaled == "by_chance" else delta * kept
        delta = delta * (bits < integers[BITS_BELOW])
    return delta * reals[SCALE] if form.scaled == "by_number" else delta


def _above(magnitudes: Tensor, index: Tensor, threshold: Tensor, last: Tensor) -> Tensor:
    return (magnitudes > threshold) | ((magnitudes == threshold) & (index <= last))


def _rank(doubled: Tensor) -> Tensor:
    if doubled.dtype is torch.uint8:
        doubled = doubled[0].to(torch.int32) * 256 + doubled[1].to(torch.int32)
    return doubled.to(torch.float32) * 0.5


def _total(form: Form, votes: list[Tensor], numbers: Numbers) -> Tensor:
    summed = torch.zeros_like(votes[0])
    for vote in votes:
        summed = summed + vote
    return summed / numbers.whole[1] if form.divisor == "number" else summed


def _largest(form: Form, votes: list[Tensor], numbers: Numbers) -> Tensor:
    del form, numbers
    winner = torch.zeros_like(votes[0])
    for vote in votes:
        winner = torch.where(vote.abs() >= winner.abs(), vote, winner)
    return winner


def _agreeing(form: Form, votes: list[Tensor], numbers: Numbers) -> Tensor:
    positive = torch.zeros_like(votes[0])
    negative = torch.zeros_like(votes[0])
    for vote in votes:
        positive = positive + vote.clamp(min=0.0)
        negative = negative + vote.clamp(max=0.0)
    balance = positive + negative
    plus = balance >= 0.0
    merged = torch.where(plus, positive, negative)
    if form.divisor == "number":
        merged = merged / numbers.whole[1]
    elif form.divisor != "none":
        merged = merged / _divisor(form, votes, plus, numbers)
    return merged * (balance != 0.0) if form.drops_ties else merged


def _divisor(form: Form, votes: list[Tensor], plus: Tensor, numbers: Numbers) -> Tensor:
    """Return the divisor of the winning side alone; the definition sums both sides' and takes one."""
    total, size = torch.zeros_like(votes[0]), torch.zeros_like(votes[0])
    cancels = form.signed and form.divisor == "weights"
    for i, vote in enumerate(votes):
        voted = torch.where(plus, vote > 0.0, vote < 0.0).to(torch.float32)
        weight = numbers.reals[i, WEIGHT]
        total = total + (voted if form.divisor == "agreeing" else voted * weight)
        if cancels:
            size = size + voted * weight.abs()
    if cancels:
        total = torch.where(total.abs() < CANCELLING_SHARE * size, size, total)
    return torch.where(total == 0.0, 1.0, total)


def _sce(form: Form, deltas: list[Tensor], index: Tensor, numbers: Numbers) -> Tensor:
    if form.selects:
        kept = _above(_variance(deltas), index, numbers.whole[2], numbers.selection_last)
        deltas = [delta * kept for delta in deltas]
    total = deltas[0]
    for delta in deltas[1:]:
        total = total + delta
    merged, mass = torch.zeros_like(total), torch.zeros_like(total)
    for i, delta in enumerate(deltas):
        agrees = torch.where(total >= 0.0, delta > 0.0, delta < 0.0).to(torch.float32)
        merged = merged + delta * agrees * numbers.reals[i, WEIGHT]
        mass = mass + agrees * numbers.reals[i, WEIGHT]
    return merged / torch.where(mass > 0.0, mass, 1.0)


def _variance(deltas: list[Tensor]) -> Tensor:
    mean = deltas[0]
    for delta in deltas[1:]:
        mean = mean + delta
    mean = mean / len(deltas)
    spread = torch.zeros_like(mean)
    for delta in deltas:
        spread = spread + (delta - mean) * (delta - mean)
    return spread
