"""Isotropic merging: a merged task vector whose singular values are all alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands
from search_spaces.operators.spectral.decomposition import Svd, polar, svd
from search_spaces.operators.spectral.matrices import Matrices, mean_of_deltas, merge_matrices


def iso_c(operands: Operands) -> Tensor:
    """Return τ = Σᵢ wᵢδᵢ with a flat spectrum: U diag(S') Vᵀ, S' = (1 - γ)S + γσ̄, σ̄ the mean of S.

    γ is `flatness`: 1 is the paper's method, 0 plain task arithmetic. The nuclear norm Σσ stays as it is. The mean
    runs over the numerical rank; the reference code's, over all min(o, n) directions, gives directions that no parent
    uses (all but a few with LoRA parents) the same strength as the others, in which it holds rounding noise.
    Tensors without a spectrum get the mean of wᵢδᵢ.

    Reference: Marczak et al. 2025, "No Task Left Behind" (arXiv 2502.04959), algorithm 1.
    """
    return merge_matrices(operands, _common_only, mean_of_deltas)


def iso_cts(operands: Operands) -> Tensor:
    """Return τ = U diag(S') Vᵀ with a flat spectrum, from a common subspace and one of each task's own.

    Of r = min(o, n) directions, s = round((r - ⌊r·`common`⌋)/N) belong to each of N tasks and k = r - N·s to all. The
    common ones are the leading k of Σ wᵢδᵢ = U_c S_c V_cᵀ; a task's, the leading s of (I - U_cU_cᵀ)wᵢδᵢ. U and V are
    all of them side by side, made orthonormal (`decomposition.polar`); S' is as in `iso_c`, σ̄ the mean of all
    singular values taken. Where s is 0 this is `iso_c`. Tensors without a spectrum get the mean of wᵢδᵢ.

    Reference: Marczak et al. 2025, "No Task Left Behind" (arXiv 2502.04959), algorithm 2.
    """
    return merge_matrices(operands, _common_and_specific, mean_of_deltas)


def _common_only(matrices: Matrices) -> Tensor:
    weights = matrices.numbers("weight")
    if matrices.operands.number("flatness") == 0.0:
        return matrices.total(weights)
    return _flattened(matrices, _svd_of_total(matrices, weights))


def _common_and_specific(matrices: Matrices) -> Tensor:
    n_tasks, common = len(matrices.inputs), matrices.operands.number("common")
    n_specific = round((matrices.rank - int(matrices.rank * common)) / n_tasks)
    n_specific = min(n_specific, matrices.rank // n_tasks)
    if n_specific == 0:
        return _common_only(matrices)

    def bases(weights: Sequence[float]) -> Svd:
        parts = [_svd_of_total(matrices, weights).part(0, matrices.rank - n_tasks * n_specific)]
        u = parts[0].u
        for j, weight in enumerate(weights):
            delta = matrices.delta(j).mul_(weight)
            size = float(torch.linalg.matrix_norm(delta))
            parts.append(svd(delta.sub_(u @ (u.T @ delta)), size=size).part(0, n_specific))
        u, v = torch.cat([part.u for part in parts], 1), torch.cat([part.vh for part in parts]).T
        return Svd(polar(u), torch.cat([part.s for part in parts]), polar(v).T.contiguous())

    what = f"iso_cts, {n_specific} specific"
    return _flattened(matrices, _up_to_scale(matrices, matrices.numbers("weight"), what, bases))


def _svd_of_total(matrices: Matrices, weights: Sequence[float]) -> Svd:
    return _up_to_scale(matrices, weights, "svd of the sum", lambda weights: svd(matrices.total(weights)))


def _up_to_scale(
    matrices: Matrices, weights: Sequence[float], what: str, compute: Callable[[Sequence[float]], Svd]
) -> Svd:
    """Return compute(weights), which is proportional to them; where all are equal, from what is kept for weights 1."""
    if any(weight != weights[0] for weight in weights):
        return compute(weights)
    kept = Svd(*matrices.recall(what, lambda: compute([1.0] * len(weights))))
    return Svd(kept.u, kept.s * weights[0], kept.vh)


def _flattened(matrices: Matrices, factors: Svd) -> Tensor:
    flatness, s = matrices.operands.number("flatness"), factors.s
    mean = s.mean() if len(s) else s.sum()
    return factors.product(s * (1.0 - flatness) + mean * flatness)
