"""SCE: select the elements in which the parents differ, calculate their weights, erase the minority's sign."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from search_spaces.operators import sparsify
from search_spaces.operators.operator import Operands
from search_spaces.operators.threshold import trim_to

_SUMMED_AT_ONCE = 1 << 20


def sce(operands: Operands) -> Tensor:
    """Return τ = Σ ηᵢmᵢδᵢ / Σ ηᵢmᵢ over the selected elements, mᵢ = [sign(δᵢ) = sign(Σδⱼ)] (a zero sum elects plus).

    Selected are the ⌊n⁺·select_topk⌋ elements of largest variance over the parents, n⁺ of them having any. ηᵢ is the
    share of parent i in the parents' mean squares over the selected elements; uniform if all are zero. mergekit makes
    them uniform whenever Σ mean(δᵢ²) < 1e-6, which fine-tunes often are. With select: weights the selection counts for
    ηᵢ alone, as in the authors' code. One parent alone has no variance and comes back whole.

    Reference: Wan et al. 2024, "FuseChat" (arXiv 2408.07990), section 3.3.
    """
    deltas = [tensor - operands.task_origin for tensor in operands.tensors]
    if len(deltas) == 1:
        return deltas[0]
    units = [unit(float(delta.abs().max()) if delta.numel() else 0.0, delta.numel()) for delta in deltas]
    selected = _selected(deltas, operands.number("select_topk"))
    if selected is not None and operands.parameters["select"] == "elements":
        deltas = [delta.mul_(selected) for delta in deltas]
    chosen = (delta if selected is None else delta * selected for delta in deltas)
    shares = shares_of([energy(delta, unit) for delta, unit in zip(chosen, units, strict=True)])
    plus = _sum(deltas) >= 0.0
    merged, mass = torch.zeros_like(deltas[0]), torch.zeros_like(deltas[0])
    for delta, share in zip(deltas, shares, strict=True):
        agrees = torch.where(plus, delta > 0.0, delta < 0.0)
        merged.add_(delta.mul_(agrees).mul_(share))
        mass.add_(agrees, alpha=share)
    return merged.div_(torch.where(mass > 0.0, mass, 1.0))


def _selected(deltas: list[Tensor], share: float) -> Tensor | None:
    """Return which elements are selected; None for all."""
    if share == 1.0:
        return None
    spread = variance(deltas)
    k = n_selected(int(torch.count_nonzero(spread)), share)
    return sparsify.kept_mask(spread, trim_to(spread.flatten(), k))


def variance(deltas: Sequence[Tensor]) -> Tensor:
    """Return Σ (δᵢ - mean)², element by element."""
    mean = _sum(deltas).div_(len(deltas))
    spread = torch.zeros_like(mean)
    for delta in deltas:
        spread.add_((delta - mean).square_())
    return spread


def n_selected(n_varying: int, share: float) -> int:
    """Return how many elements are selected of those that have any variance."""
    return int(n_varying * share + 1e-9)


def shares_of(energies: Sequence[float]) -> list[float]:
    """Return ηᵢ from the parents' sums of squares."""
    total = sum(energies)
    return [e / total if total > 0.0 else 1.0 / len(energies) for e in energies]


def unit(largest: float, n: int) -> float:
    """Return a power of two such that n squares of up to `largest` are at most 2^52 of it: their sums are exact."""
    return math.ldexp(1.0, math.frexp(largest * largest * n)[1] - 52) if 0.0 < largest < math.inf else 1.0


def squares(delta: Tensor, unit: float) -> Tensor:
    """Return δ² as whole numbers of units, a power of two each, float64."""
    return delta.to(torch.float64).square_().mul_(1.0 / unit).round_()


def energy(delta: Tensor, unit: float) -> float:
    """Return Σ δ², each square rounded to a multiple of the unit: the same in whatever order it is summed."""
    return unit * sum(float(squares(part, unit).sum()) for part in torch.split(delta.reshape(-1), _SUMMED_AT_ONCE))


def _sum(deltas: Sequence[Tensor]) -> Tensor:
    total = deltas[0].clone()
    for delta in deltas[1:]:
        total.add_(delta)
    return total
