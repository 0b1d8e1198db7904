"""Merging one parent after another, each freed of what the merge so far already says."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands
from search_spaces.operators.spectral.decomposition import Svd, svd
from search_spaces.operators.spectral.matrices import Matrices, merge_matrices

# Task vectors that add up to less than this share of their norms have cancelled; what is left is rounding noise.
CANCELLED = 1e-6


def opcm(operands: Operands) -> Tensor:
    """Return τ by orthogonal projection-based continual merging, in descending order of `priority`.

    D₁ = w₁δ₁; then Dₜ = Dₜ₋₁ + δ', where δ' is wₜδₜ without its part in the subspace that Dₜ₋₁ = USVᵀ fills: of
    P = Uᵀ(wₜδₜ)V the diagonal is removed, and the leading r×r block, r being the number of leading singular values that
    together hold at most `alpha` of their sum. τ = D_N·mean‖wᵢδᵢ‖/‖D_N‖ in Frobenius norms. Equal priorities keep the
    order of the inputs.

    The reference code rescales after every step, which the next step undoes, and takes the norms over the whole model;
    here they are the tensor's. At α = 1 it projects nothing, here everything. Tensors without a spectrum are added up
    and rescaled likewise.

    Reference: Tang et al. 2025, "Merging Models on the Fly Without Retraining" (arXiv 2501.09522), equations 4 to 7.
    """
    return merge_matrices(operands, _projected, _unprojected)


def _projected(matrices: Matrices) -> Tensor:
    weights, priorities = matrices.numbers("weight"), matrices.numbers("priority")
    order = sorted(range(len(weights)), key=lambda j: -priorities[j])
    alpha = matrices.operands.number("alpha")
    if any(weight != weights[0] for weight in weights):
        return _one_after_another(matrices, order, weights, alpha=alpha)
    ones = [1.0] * len(weights)  # the merge is proportional to the weights
    (kept,) = matrices.recall(
        f"opcm, alpha {alpha!r}", lambda: (_one_after_another(matrices, order, ones, alpha=alpha),), of=order
    )
    return kept * weights[0]


def _one_after_another(matrices: Matrices, order: Sequence[int], weights: Sequence[float], *, alpha: float) -> Tensor:
    first, *others = order
    merged = matrices.delta(first).mul_(weights[first])
    norms, factors = [_norm(merged)], matrices.svd(first)
    for step, j in enumerate(others):
        if step > 0:
            factors = svd(merged)
        delta = matrices.delta(j).mul_(weights[j])
        norms.append(_norm(delta))
        merged.add_(_without(factors, delta, alpha))
    return _at_mean_norm(merged, norms)


def _without(factors: Svd, delta: Tensor, alpha: float) -> Tensor:
    """Return δ - U M Vᵀ, M the parts of P = UᵀδV that are removed."""
    if not len(factors.s):
        return delta
    removed = factors.u.T @ delta @ factors.vh.T
    held = factors.s.double().cumsum(0)
    r = int((held / held[-1] <= alpha).sum())
    diagonal, block = removed.diagonal().clone(), removed[:r, :r].clone()
    removed.zero_()
    removed.diagonal().copy_(diagonal)
    removed[:r, :r] = block
    return delta - factors.u @ removed @ factors.vh


def _unprojected(operands: Operands, inputs: tuple[int, ...]) -> Tensor:
    weights, origin = operands.numbers("weight"), operands.task_origin
    deltas = [(operands.tensors[i] - origin).mul_(weights[i]) for i in inputs]
    merged = torch.zeros_like(origin)
    for delta in deltas:
        merged.add_(delta)
    return _at_mean_norm(merged, [_norm(delta) for delta in deltas])


def _at_mean_norm(merged: Tensor, norms: list[float]) -> Tensor:
    norm, mean = _norm(merged), sum(norms) / len(norms)
    return merged.mul_(mean / norm) if norm > CANCELLED * mean else merged


def _norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64))
