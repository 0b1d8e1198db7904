"""The elementwise operators once more, tensor by tensor in the plainest torch that rounds alike: the kernels' oracle.

Nothing here is shared with the kernels but the random numbers, ranks and counts, which have tests of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from search_spaces.operators.kernels import sparsify
from search_spaces.operators.kernels.blocks import merged
from search_spaces.operators.kernels.ranks import doubled_ranks, row_width
from search_spaces.operators.kernels.threshold import Trim, trim_to
from search_spaces.operators.operator import Operands, gain
from search_spaces.operators.registry import find_operator
from search_spaces.operators.sce import energy, n_selected, shares_of, unit
from tests.search_spaces.operators.uniform import uniform

Sparsifier = Callable[[Operands, int], Tensor]


def slow_merge(operator: str, operands: Operands) -> Tensor:
    """What an elementwise operator makes of float32 operands."""
    if operator not in SLOW:
        return average(operator, operands)
    scale, origin = gain(operands), operands.task_origin
    return origin.clone() if scale == 0.0 else SLOW[operator](operands).mul_(scale).add_(origin)


def average(operator: str, operands: Operands) -> Tensor:
    """Σ sᵢθᵢ, the shares told by what the operator makes of unit vectors; parents of share 0 are not read."""
    n = len(operands.tensors)
    units = Operands(
        tuple(torch.eye(n)), None, operands.inputs, operands.parameters, operands.seeds, "", operands.layer
    )
    shares = merged(find_operator(operator).apply(units), (n,)).tolist()  # type: ignore[arg-type]
    read = zip(operands.tensors, shares, strict=True)
    used = [tensor * share for tensor, share in read if share != 0.0 or operator == "passthrough"]
    return summed(used) if used else torch.zeros_like(operands.tensors[0])


def pipeline(operands: Operands, sparsifier: Sparsifier, combine: Callable[[Operands, list[Tensor]], Tensor]) -> Tensor:
    weights = operands.numbers("weight")
    return combine(operands, [sparsifier(operands, i) * weight for i, weight in enumerate(weights)])


def composed(operands: Operands) -> Tensor:
    sparsifiers = {
        "none": difference,
        "magnitude": trimmed,
        "random": dropped,
        "ranked": ranked,
        "outliers": without_outliers,
    }
    combine = {"sum": total, "sign": agreeing, "largest": largest}
    chosen = operands.parameters
    return pipeline(operands, sparsifiers[str(chosen["sparsify"])], combine[str(chosen["consensus"])])


def difference(operands: Operands, i: int) -> Tensor:
    return operands.tensors[i] - operands.task_origin


def trimmed(operands: Operands, i: int) -> Tensor:
    delta, density = difference(operands, i), operands.numbers("density")[i]
    if density == 1.0:
        return delta
    if operands.parameters.get("scope") == "global":
        assert operands.global_trims is not None
        kept = operands.global_trims(i, density)
    else:
        kept = trim(delta, density)
    return rescaled(operands, delta, keep_largest(delta, kept), density)


def dropped(operands: Operands, i: int) -> Tensor:
    delta, density = difference(operands, i), operands.numbers("density")[i]
    if density == 1.0 or delta.numel() < sparsify.FEWEST_TO_DROP_FROM:
        return delta
    return rescaled(operands, delta, delta * (uniform(operands.seeds(i), delta.shape) < density), density)


def ranked(operands: Operands, i: int) -> Tensor:
    delta, density = difference(operands, i), operands.numbers("density")[i]
    if density == 1.0 or delta.numel() < sparsify.FEWEST_TO_DROP_FROM:
        return delta
    chances = keep_probabilities(delta, density, operands.numbers("epsilon")[i])
    return rescaled(operands, delta, delta * (uniform(operands.seeds(i), delta.shape) < chances), chances)


def without_outliers(operands: Operands, i: int) -> Tensor:
    delta, values = difference(operands, i), operands.inputs[i]
    by_row = operands.parameters.get("scope") == "row"
    kept = drop_outliers(delta, float(values["density"]), float(values["gamma"]), by_row=by_row)
    return rescaled(operands, delta, kept, float(values["density"]))


def dropped_and_trimmed(operands: Operands, i: int) -> Tensor:
    delta, share = dropped(operands, i), operands.number("second_trim")
    return delta if share == 1.0 else keep_largest(delta, trim(delta, share))


def rescaled(operands: Operands, delta: Tensor, kept: Tensor, chance: float | Tensor) -> Tensor:
    rescale = operands.parameters.get("rescale", "none")
    if rescale == "density":
        return kept / chance if isinstance(chance, Tensor) else kept * (1.0 / chance)
    return kept if rescale == "none" else kept * sparsify.l1_gain(l1_norm(delta), l1_norm(kept))


def total(operands: Operands, votes: list[Tensor]) -> Tensor:
    weight = sum(operands.numbers("weight"))
    return in_order(votes) / weight if operands.parameters["normalize"] and abs(weight) >= 1e-8 else in_order(votes)


def largest(operands: Operands, votes: list[Tensor]) -> Tensor:
    bare = operands.parameters.get("priority_only") is True
    winner, most = torch.zeros_like(votes[0]), torch.zeros_like(votes[0])
    for i, vote in enumerate(votes):
        wins = vote.abs() >= most
        most = torch.where(wins, vote.abs(), most)
        winner = torch.where(wins, difference(operands, i) if bare else vote, winner)
    return winner


def agreeing(operands: Operands, votes: list[Tensor]) -> Tensor:
    weights, chosen = operands.numbers("weight"), operands.parameters
    zero_sign, divisor = chosen.get("zero_sign", "plus"), chosen.get("divisor", "weights")
    sides = [[vote.clamp(min=0.0) for vote in votes], [vote.clamp(max=0.0) for vote in votes]]
    positive, negative = map(in_order, sides)
    balance = positive + negative
    minus = zero_sign == "majority" and int(torch.sign(balance).double().sum()) < 0
    elected = balance > 0.0 if minus else balance >= 0.0
    merged = torch.where(elected, positive, negative)
    if chosen.get("normalize", False) and divisor == "parents":
        merged = merged / len(weights)
    elif chosen.get("normalize", False):
        merged = merged / torch.where(elected, *(mass(side, weights, str(divisor)) for side in sides))
    return merged * (balance != 0.0) if zero_sign == "drop" else merged


def mass(side: list[Tensor], weights: Sequence[float], divisor: str) -> Tensor:
    """What the votes of one sign are divided by."""
    voted = [(vote != 0.0).float() for vote in side]
    if divisor == "agreeing":
        weight = in_order(voted)
    else:
        weight = in_order([here * w for here, w in zip(voted, weights, strict=True)])
        if min(weights) < 0.0:
            size = in_order([here * abs(w) for here, w in zip(voted, weights, strict=True)])
            weight = torch.where(weight.abs() < 1e-3 * size, size, weight)
    return torch.where(weight == 0.0, 1.0, weight)


def sce(operands: Operands) -> Tensor:
    deltas = [difference(operands, i) for i in range(len(operands.tensors))]
    if len(deltas) == 1:
        return deltas[0]
    units = [unit(float(delta.abs().max()) if delta.numel() else 0.0, delta.numel()) for delta in deltas]
    share, selected = operands.number("select_topk"), torch.ones(())
    if share != 1.0:
        mean = summed(deltas) / len(deltas)
        spread = in_order([(delta - mean).square() for delta in deltas])
        k = n_selected(int(torch.count_nonzero(spread)), share)
        selected = kept_mask(spread, trim_to(spread.flatten(), k)).float()
    shares = shares_of([energy(delta * selected, unit) for delta, unit in zip(deltas, units, strict=True)])
    if share != 1.0 and operands.parameters["select"] == "elements":
        deltas = [delta * selected for delta in deltas]
    plus = summed(deltas) >= 0.0
    agrees = [torch.where(plus, delta > 0.0, delta < 0.0).float() for delta in deltas]
    merged = in_order([delta * here * share for delta, here, share in zip(deltas, agrees, shares, strict=True)])
    weight = in_order([here * share for here, share in zip(agrees, shares, strict=True)])
    return merged / torch.where(weight > 0.0, weight, 1.0)


def summed(terms: Sequence[Tensor]) -> Tensor:
    """The sum in order, from the first term on."""
    sum_ = terms[0].clone()
    for term in terms[1:]:
        sum_ += term
    return sum_


def in_order(terms: Sequence[Tensor]) -> Tensor:
    """The sum in order, from zero on: 0 + -0 is 0."""
    return summed([torch.zeros_like(terms[0]), *terms])


def trim(delta: Tensor, density: float) -> Trim:
    return trim_to(delta.abs().flatten(), sparsify.n_kept(delta.numel(), density))


def kept_mask(magnitudes: Tensor, kept: Trim) -> Tensor:
    index = torch.arange(magnitudes.numel()).view(magnitudes.shape)
    return (magnitudes > kept.magnitude) | ((magnitudes == kept.magnitude) & (index <= kept.last))


def keep_largest(delta: Tensor, kept: Trim) -> Tensor:
    return delta * kept_mask(delta.abs(), kept)


def drop_outliers(delta: Tensor, density: float, gamma: float, *, by_row: bool = False) -> Tensor:
    """Of the tensor, or of each row along the last dimension, the band between the largest and the smallest."""
    rows = delta.reshape(-1, delta.shape[-1] if delta.dim() else 1) if by_row else delta.reshape(1, -1)
    k, top = sparsify.band(rows.shape[1], density, gamma)
    order = rows.abs().sort(dim=1, descending=True, stable=True).indices
    mask = torch.zeros_like(order, dtype=torch.bool).scatter_(1, order[:, top : top + k], True)
    return delta * mask.view(delta.shape)


def keep_probabilities(delta: Tensor, density: float, epsilon: float) -> Tensor:
    slope, chance_of_smallest = sparsify.chance_line(row_width(delta.shape), density, epsilon)
    return (doubled_ranks(delta).float() * 0.5) * slope + chance_of_smallest


def l1_norm(delta: Tensor) -> float:
    return math.fsum(sparsify.row_sums(delta.abs()))


SLOW: dict[str, Callable[[Operands], Tensor]] = {
    "task_arithmetic": lambda o: pipeline(o, difference, total),
    "ties": lambda o: pipeline(o, trimmed, agreeing),
    "dare_linear": lambda o: pipeline(o, dropped, total),
    "dare_ties": lambda o: pipeline(o, dropped_and_trimmed, agreeing),
    "della_linear": lambda o: pipeline(o, ranked, total),
    "della": lambda o: pipeline(o, ranked, agreeing),
    "breadcrumbs": lambda o: pipeline(o, without_outliers, total),
    "breadcrumbs_ties": lambda o: pipeline(o, without_outliers, agreeing),
    "magmax": lambda o: pipeline(o, difference, largest),
    "composed": composed,
    "sce": sce,
}
