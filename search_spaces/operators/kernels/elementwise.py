"""The one function that merges elementwise: eager over a block, or compiled over a whole tensor, with the same bits.

It is the definition of the operators that have such a form. Every float32 operation is rounded by itself, in this
order.

All tensors of (n,) may be of (k, n) instead, k tensors at once, with the same bits: numbers have (k, 1) in the place of
() then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from search_spaces.operators.kernels.counter import bits_at, uniform_at
from search_spaces.operators.kernels.form import Form
from search_spaces.operators.kernels.masks import above, chosen, compiling, masked

# Columns of `Numbers.reals` and `Numbers.integers`.
WEIGHT, LOW, HIGH, HALF_SLOPE, INTERCEPT, SCALE, BELOW_LOW, BELOW_HIGH = range(8)
LOW_LAST, HIGH_LAST, FIRST_WORD, SECOND_WORD, BITS_BELOW = range(5)

# Below this share of Σ|wᵢ| the weights of agreeing parents cancel, and dividing by their sum would explode.
CANCELLING_SHARE = 1e-3


class Numbers(NamedTuple):
    """A merge's numbers as tensors: a compiled kernel serves them all."""

    start: Tensor  # int32 (), the index of the first element in its segment
    reals: Tensor  # float32 (n_parents, 8)
    integers: Tensor  # int32 (n_parents, 5)
    whole: Tensor  # float32 (4,): gain, divisor, the selection's magnitude, the next smaller float32 of it
    selection_last: Tensor  # int32 ()


class Read(NamedTuple):
    """What a merge reads."""

    tensors: list[Tensor]  # (n,) each, of any floating point dtype
    base: Tensor | None  # (n,), where task vectors are merged
    ranks: list[Tensor]  # (n,) each, where survivors are ranked or chosen; see `form.Part`


def merge_elements(form: Form, read: Read, numbers: Numbers, out: Tensor, *, ties: bool = True) -> Tensor:
    """Write the merged elements as `write_elements` does; return the largest magnitude, float32 (), NaN if any is."""
    return write_elements(form, read, numbers, out, ties=ties).to(torch.float32).abs().amax()


def write_elements(form: Form, read: Read, numbers: Numbers, out: Tensor, *, ties: bool = True) -> Tensor:
    """Write the merged elements; return them too, in the form's dtype.

    `out` is (n,), n > 0, of a dtype that holds every value of `form.dtype`; `ties` False promises that no element that
    equals a threshold is kept.
    """
    values = [tensor.to(torch.float32) for tensor in read.tensors]
    if read.base is None:
        merged = _weighted_sum(values, numbers, out)
    else:
        origin = read.base.to(torch.float32)
        # θ = θ₀ + gain·τ(θ₁ - θ₀, θ₂ - θ₀, ...)
        merged = task_vector(form, [value - origin for value in values], read.ranks, numbers, ties=ties)
        merged = merged.mul_(numbers.whole[0]).add_(origin)
    rounded = merged.to(form.dtype)
    out.copy_(rounded)
    return rounded


def task_vector(form: Form, deltas: list[Tensor], ranks: list[Tensor], numbers: Numbers, *, ties: bool) -> Tensor:
    """Return the merged task vector τ, float32 (n,); overwrites the task vectors, float32 (n,) each."""
    drawn = form.survivors in ("random", "ranked")
    index = None
    if drawn or ties:
        index = torch.arange(deltas[0].shape[-1], dtype=torch.int32, device=deltas[0].device) + numbers.start
    if form.consensus == "sce":
        return _sce(form, deltas, index if ties else None, numbers)
    rows = [Row(numbers.reals[i], numbers.integers[i], ranks[i] if ranks else None) for i in range(len(deltas))]
    votes = []  # wᵢδ̂ᵢ
    for delta, row in zip(deltas, rows, strict=True):
        votes.append(survivors(form, delta, index, row, ties=ties, weighted=not form.unweighted))
    if form.consensus == "balance":
        positive, negative = _sides(votes)
        return positive + negative
    return {"sum": _total, "sign": _agreeing, "largest": _largest}[form.consensus](form, votes, numbers)


def _weighted_sum(values: list[Tensor], numbers: Numbers, out: Tensor) -> Tensor:
    if not values:
        return torch.zeros(out.shape, device=out.device)
    total = values[0] * numbers.reals[0, WEIGHT]
    for i, value in enumerate(values[1:], 1):
        total = total.add_(value * numbers.reals[i, WEIGHT])  # apart, so that products are rounded by themselves
    return total


class Row(NamedTuple):
    """One parent's rows of the numbers, and its ranks."""

    reals: Tensor
    integers: Tensor
    ranks: Tensor | None


def survivors(
    form: Form, delta: Tensor, index: Tensor | None, row: Row, *, ties: bool, weighted: bool = False
) -> Tensor:
    """Return what survives of a task vector, float32 (n,), scaled and maybe weighted; overwrites it.

    The index, int32 (n,), is that of the elements in their segment; needed where survivors are drawn, or with ties.
    """
    scales = [row.reals[SCALE]] if form.scaled == "by_number" else []
    weights = [row.reals[WEIGHT]] if weighted else []
    places = index if ties else None
    again = form.trimmed_again
    if form.survivors == "all":
        delta = masked(delta, None, [*scales, *weights])
    elif form.survivors in ("random", "ranked"):
        assert index is not None
        delta, mask = _drawn(form, delta, index, row)
        delta = masked(delta, mask, scales if again else [*scales, *weights])
    else:
        delta = masked(delta, _between(form, delta, places, row), scales if again else [*scales, *weights])
    return masked(delta, _low(delta, places, row), weights) if again else delta


def _between(form: Form, delta: Tensor, places: Tensor | None, row: Row) -> Tensor:
    """Return a mask of what thresholds keep, or the mask that is given."""
    if form.survivors == "chosen":
        assert row.ranks is not None
        return row.ranks.to(torch.float32)
    kept = _low(delta, places, row)
    if form.survivors == "largest":
        return kept
    # Nothing is above the upper threshold that is not above the lower one.
    reals = row.reals
    over = above(delta.abs(), reals[HIGH], reals[BELOW_HIGH], row.integers[HIGH_LAST], places)
    return kept & ~over if kept.dtype is torch.bool else kept.sub_(over)


def _low(delta: Tensor, places: Tensor | None, row: Row) -> Tensor:
    return above(delta.abs(), row.reals[LOW], row.reals[BELOW_LOW], row.integers[LOW_LAST], places)


def _drawn(form: Form, delta: Tensor, index: Tensor, row: Row) -> tuple[Tensor, Tensor | None]:
    """Return the task vector and a mask of what is drawn; None where it has dropped the others already."""
    reals, integers, ranks = row
    bits = bits_at(index, integers[FIRST_WORD], integers[SECOND_WORD])
    if ranks is None:
        limit = integers[BITS_BELOW]
        return delta, bits < limit if compiling() else bits.lt_(limit).to(torch.float32)
    # p = slope·rank + intercept; ranks are doubled, so that the mean rank of equals is a whole number.
    chance = (ranks.to(torch.float32) * reals[HALF_SLOPE]).add_(reals[INTERCEPT])
    uniform = uniform_at(bits)
    drawn = uniform < chance if compiling() else uniform.lt_(chance)
    if form.scaled == "by_chance":
        return masked(delta, drawn, []).div_(chance), None
    return delta, drawn


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
    if compiling():
        plus = balance > 0.0 if form.zero_sign == "minus" else balance >= 0.0
        # A zero that compilers do not know: they leave others out, and 0 + -0 is 0 but -0 is not.
        merged = torch.where(plus, positive, negative).add_(numbers.reals[0, WEIGHT].abs() * 0.0)
    else:
        plus = balance.clone().gt_(0.0) if form.zero_sign == "minus" else balance.clone().ge_(0.0)
        merged = positive.mul_(plus).add_(negative.mul_(1.0 - plus))
    if form.divisor == "number":
        merged = merged.div_(numbers.whole[1])
    elif form.divisor != "none":
        merged = merged.div_(_divisor(form, votes, plus, numbers))
    if form.zero_sign != "drop":
        return merged
    return masked(merged, balance != 0.0 if compiling() else balance.ne_(0.0), [])


def _divisor(form: Form, votes: list[Tensor], plus: Tensor, numbers: Numbers) -> Tensor:
    """Return Σ mᵢwᵢ, or Σ mᵢ (agreeing); Σ mᵢ|wᵢ| where weights cancel, and 1 where nobody agrees."""
    total, size = torch.zeros_like(votes[0]), torch.zeros_like(votes[0])
    cancels = form.signed and form.divisor == "weights"
    for i, voted in enumerate(_of_sign(votes, plus)):
        weight = numbers.reals[i, WEIGHT]
        if cancels:
            size = size.add_(chosen(voted, weight.abs()))
        total = total.add_(chosen(voted, torch.ones_like(weight) if form.divisor == "agreeing" else weight))
    if cancels:
        total = torch.where(total.abs() < CANCELLING_SHARE * size, size, total)
    if compiling():
        return torch.where(total == 0.0, 1.0, total)
    return total + total.clone().eq_(0.0)  # nobody's weight is 1


def _of_sign(votes: list[Tensor], plus: Tensor) -> Iterator[Tensor]:
    """Yield a mask of the votes that have the elected sign; overwrites them."""
    sign = torch.where(plus, 1.0, -1.0) if plus.dtype is torch.bool else plus * 2.0 - 1.0
    for vote in votes:
        yield vote * sign > 0.0 if compiling() else vote.mul_(sign).gt_(0.0)


def _sce(form: Form, deltas: list[Tensor], index: Tensor | None, numbers: Numbers) -> Tensor:
    """Return Σ ηᵢmᵢδᵢ / Σ ηᵢmᵢ over the selected elements, mᵢ = [sign δᵢ = sign Σ δⱼ]; 0 where nobody agrees."""
    if form.selects:
        kept = above(variance(deltas), numbers.whole[2], numbers.whole[3], numbers.selection_last, index)
        deltas = [masked(delta, kept, []) for delta in deltas]
    total = deltas[0].clone()
    for delta in deltas[1:]:
        total = total.add_(delta)
    # A zero that compilers do not know: they would leave it out of the sum, and 0 + -0 is 0 but -0 is not.
    merged = torch.zeros_like(total).add_(numbers.reals[0, WEIGHT] * 0.0)
    mass = torch.zeros_like(total)
    agreeing = _of_sign([delta.clone() for delta in deltas], total >= 0.0 if compiling() else total.ge_(0.0))
    for i, (delta, agrees) in enumerate(zip(deltas, agreeing, strict=True)):
        weight = numbers.reals[i, WEIGHT]
        merged = merged.add_(masked(delta, agrees, [weight]))
        mass = mass.add_(chosen(agrees, weight))
    if compiling():
        return merged.div_(torch.where(mass <= 0.0, mass + 1.0, mass))
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
