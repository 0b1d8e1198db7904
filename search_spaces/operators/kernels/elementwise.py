"""The one function that merges elementwise: eager over a block, or compiled over a whole tensor, with the same bits.

It is the definition of the operators that have such a form. Every float32 operation is rounded by itself, in this
order. Masks multiply, so that NaN stays NaN and zero keeps its sign. They are 0 or 1 in float32, compared in place:
torch makes bools, and multiplies by them, ten times as slowly.

All tensors of (n,) may be of (k, n) instead, k tensors at once, with the same bits: numbers have (k, 1) in the place of
() then. Ranks of (2, n) become (2, k, n).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from search_spaces.operators.kernels.counter import bits_at, uniform_at
from search_spaces.operators.kernels.form import Form

# Columns of `Numbers.reals` and `Numbers.integers`.
WEIGHT, LOW, HIGH, HALF_SLOPE, INTERCEPT, SCALE = range(6)
LOW_LAST, HIGH_LAST, FIRST_WORD, SECOND_WORD, BITS_BELOW = range(5)

# Below this share of Σ|wᵢ| the weights of agreeing parents cancel, and dividing by their sum would explode.
CANCELLING_SHARE = 1e-3


class Numbers(NamedTuple):
    """A merge's numbers as tensors: a compiled kernel serves them all."""

    start: Tensor  # int32 (), the index of the first element in its segment
    reals: Tensor  # float32 (n_parents, 6)
    integers: Tensor  # int32 (n_parents, 5)
    whole: Tensor  # float32 (3,): gain, divisor, the selection's magnitude
    selection_last: Tensor  # int32 ()


class Read(NamedTuple):
    """What a merge reads."""

    tensors: list[Tensor]  # (n,) each, of any floating point dtype
    base: Tensor | None  # (n,), where task vectors are merged
    ranks: list[Tensor]  # (n,) or (2, n) each, where survivors are ranked; see `form.Part`


def merge_elements(form: Form, read: Read, numbers: Numbers, out: Tensor, *, ties: bool = True) -> Tensor:
    """Write the merged elements; return the largest magnitude, float32 (), NaN if any element is.

    `out` is (n,), n > 0, of a dtype that holds every value of `form.dtype`; `ties` False promises that no element that
    equals a threshold is kept.
    """
    values = [tensor.to(torch.float32) for tensor in read.tensors]
    if read.base is None:
        merged = _weighted_sum(values, numbers, out.shape)
    else:
        origin = read.base.to(torch.float32)
        # θ = θ₀ + gain·τ(θ₁ - θ₀, θ₂ - θ₀, ...)
        merged = task_vector(form, [value - origin for value in values], read.ranks, numbers, ties=ties)
        merged = merged.mul_(numbers.whole[0]).add_(origin)
    rounded = merged.to(form.dtype)
    out.copy_(rounded)
    return rounded.to(torch.float32).abs().amax()


def task_vector(form: Form, deltas: list[Tensor], ranks: list[Tensor], numbers: Numbers, *, ties: bool) -> Tensor:
    """Return the merged task vector τ, float32 (n,); overwrites the task vectors, float32 (n,) each."""
    drawn = form.survivors in ("random", "ranked")
    index = torch.arange(deltas[0].shape[-1], dtype=torch.int32) + numbers.start if drawn or ties else None
    if form.consensus == "sce":
        return _sce(form, deltas, index if ties else None, numbers)
    rows = [Row(numbers.reals[i], numbers.integers[i], ranks[i] if ranks else None) for i in range(len(deltas))]
    votes = []  # wᵢδ̂ᵢ
    for delta, row in zip(deltas, rows, strict=True):
        kept = survivors(form, delta, index, row, ties=ties)
        votes.append(kept if form.unweighted else kept.mul_(row.reals[WEIGHT]))
    if form.consensus == "balance":
        positive, negative = _sides(votes)
        return positive + negative
    return {"sum": _total, "sign": _agreeing, "largest": _largest}[form.consensus](form, votes, numbers)


def _weighted_sum(values: list[Tensor], numbers: Numbers, shape: torch.Size) -> Tensor:
    if not values:
        return torch.zeros(shape)
    total = values[0] * numbers.reals[0, WEIGHT]
    for i, value in enumerate(values[1:], 1):
        total = total.add_(value * numbers.reals[i, WEIGHT])  # apart, so that products are rounded by themselves
    return total


class Row(NamedTuple):
    """One parent's rows of the numbers, and its ranks."""

    reals: Tensor
    integers: Tensor
    ranks: Tensor | None


def survivors(form: Form, delta: Tensor, index: Tensor | None, row: Row, *, ties: bool) -> Tensor:
    """Return what survives of a task vector, float32 (n,), scaled; overwrites it.

    The index, int32 (n,), is that of the elements in their segment; needed where survivors are drawn, or with ties.
    """
    reals, integers, ranks = row
    if form.survivors in ("largest", "band"):
        kept = _above(delta.abs(), reals[LOW], index if ties else None, integers[LOW_LAST])
        if form.survivors == "band":  # nothing is above the upper threshold that is not above the lower one
            kept = kept.sub_(_above(delta.abs(), reals[HIGH], index if ties else None, integers[HIGH_LAST]))
        delta = delta.mul_(kept)
    elif form.survivors == "chosen":
        assert ranks is not None
        delta = delta.mul_(ranks.to(torch.float32))
    elif form.survivors in ("random", "ranked"):
        assert index is not None
        bits = bits_at(index, integers[FIRST_WORD], integers[SECOND_WORD])
        if ranks is None:
            delta = delta.mul_(bits.lt_(integers[BITS_BELOW]).to(torch.float32))
        else:
            # p = slope·rank + intercept; ranks are doubled, so that the mean rank of equals is a whole number.
            chance = _doubled_rank(ranks).mul_(reals[HALF_SLOPE]).add_(reals[INTERCEPT])
            delta = delta.mul_(uniform_at(bits).lt_(chance))
            delta = delta.div_(chance) if form.scaled == "by_chance" else delta
    delta = delta.mul_(reals[SCALE]) if form.scaled == "by_number" else delta
    if form.trimmed_again:
        delta = delta.mul_(_above(delta.abs(), reals[LOW], index if ties else None, integers[LOW_LAST]))
    return delta


def _above(magnitudes: Tensor, threshold: Tensor, index: Tensor | None, last: Tensor) -> Tensor:
    """Return 1 where a magnitude is above a threshold or, up to an index, equals it, else 0; may overwrite them."""
    if index is None:
        return magnitudes.gt_(threshold)
    return ((magnitudes > threshold) | ((magnitudes == threshold) & (index <= last))).to(torch.float32)


def _doubled_rank(ranks: Tensor) -> Tensor:
    if ranks.dtype is torch.uint8:
        ranks = ranks[0].to(torch.int32) * 256 + ranks[1].to(torch.int32)
    return ranks.to(torch.float32)


def _total(form: Form, votes: list[Tensor], numbers: Numbers) -> Tensor:
    summed = torch.zeros_like(votes[0])
    for vote in votes:
        summed = summed.add_(vote)
    return summed.div_(numbers.whole[1]) if form.divisor == "number" else summed


def _largest(form: Form, votes: list[Tensor], numbers: Numbers) -> Tensor:
    winning = winner = torch.zeros_like(votes[0])
    for i, vote in enumerate(votes):  # bare task vectors where form.unweighted
        weighted = vote * numbers.reals[i, WEIGHT] if form.unweighted else vote
        wins = weighted.abs() >= winning.abs()  # of equals the last
        winning = torch.where(wins, weighted, winning)
        winner = torch.where(wins, vote, winner) if form.unweighted else winning
    return winner


def _sides(votes: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the sums of the positive and of the negative votes, (n,) each."""
    positive, negative = torch.zeros_like(votes[0]), torch.zeros_like(votes[0])
    for vote in votes:
        upper = vote.relu()  # one instruction, of which a clamp takes four
        positive = positive.add_(upper)
        negative = negative.add_(vote - upper)
    return positive, negative


def _agreeing(form: Form, votes: list[Tensor], numbers: Numbers) -> Tensor:
    """Return Σ mᵢvᵢ over the divisor, vᵢ = wᵢδ̂ᵢ the votes and mᵢ = [sign vᵢ = sign Σ vⱼ]: the winning side's sum."""
    positive, negative = _sides(votes)
    balance = positive + negative
    plus = balance.clone().gt_(0.0) if form.zero_sign == "minus" else balance.clone().ge_(0.0)
    merged = positive.mul_(plus).add_(negative.mul_(1.0 - plus))
    if form.divisor == "number":
        merged = merged.div_(numbers.whole[1])
    elif form.divisor != "none":
        merged = merged.div_(_divisor(form, votes, plus, numbers))
    return merged.mul_(balance.ne_(0.0)) if form.zero_sign == "drop" else merged


def _divisor(form: Form, votes: list[Tensor], plus: Tensor, numbers: Numbers) -> Tensor:
    """Return Σ mᵢwᵢ, or Σ mᵢ (agreeing); Σ mᵢ|wᵢ| where weights cancel, and 1 where nobody agrees."""
    total, size = torch.zeros_like(plus), torch.zeros_like(plus)
    cancels = form.signed and form.divisor == "weights"
    for i, voted in enumerate(_of_sign(votes, plus)):
        weight = numbers.reals[i, WEIGHT]
        if cancels:
            size = size.add_(voted * weight.abs())
        total = total.add_(voted if form.divisor == "agreeing" else voted.mul_(weight))
    if cancels:
        total = torch.where(total.abs() < CANCELLING_SHARE * size, size, total)
    return total + total.clone().eq_(0.0)  # nobody's weight is 1


def _of_sign(votes: list[Tensor], plus: Tensor) -> Iterator[Tensor]:
    """Yield 1 where a vote has the elected sign, else 0; overwrites the votes."""
    sign = plus * 2.0 - 1.0
    for vote in votes:
        yield vote.mul_(sign).gt_(0.0)


def _sce(form: Form, deltas: list[Tensor], index: Tensor | None, numbers: Numbers) -> Tensor:
    """Return Σ ηᵢmᵢδᵢ / Σ ηᵢmᵢ over the selected elements, mᵢ = [sign δᵢ = sign Σ δⱼ]; 0 where nobody agrees."""
    if form.selects:
        kept = _above(variance(deltas), numbers.whole[2], index, numbers.selection_last)
        deltas = [delta.mul_(kept) for delta in deltas]
    total = deltas[0].clone()
    for delta in deltas[1:]:
        total = total.add_(delta)
    # A zero that compilers do not know: they would leave it out of the sum, and 0 + -0 is 0 but -0 is not.
    merged = torch.zeros_like(total).add_(numbers.reals[0, WEIGHT] * 0.0)
    mass = torch.zeros_like(total)
    agreeing = _of_sign([delta.clone() for delta in deltas], total.ge_(0.0))
    for i, (delta, agrees) in enumerate(zip(deltas, agreeing, strict=True)):
        merged = merged.add_(delta.mul_(agrees).mul_(numbers.reals[i, WEIGHT]))
        mass = mass.add_(agrees.mul_(numbers.reals[i, WEIGHT]))
    return merged.div_(mass + mass.clone().le_(0.0))


def variance(deltas: Sequence[Tensor]) -> Tensor:
    """Return Σ (δᵢ - mean)², element by element; float32, of the task vectors' shape."""
    mean = deltas[0].clone()
    for delta in deltas[1:]:
        mean = mean.add_(delta)
    mean = mean.div_(len(deltas))
    spread = torch.zeros_like(mean)
    for delta in deltas:
        difference = delta - mean
        spread = spread.add_(difference.mul_(difference))
    return spread
