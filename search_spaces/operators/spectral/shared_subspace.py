"""Task vectors corrected together so that each task is answered, but for what the tasks share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from search_spaces.operators.kernels.sparsify import n_kept
from search_spaces.operators.operator import Operands
from search_spaces.operators.spectral.decomposition import svd
from search_spaces.operators.spectral.matrices import Matrices, mean_of_deltas, merge_matrices

# The descent has arrived when its residual has fallen to this share.
ARRIVED = 1e-7


def doge(operands: Operands) -> Tensor:
    """Return τ = Σ wᵢλᵢ(δᵢ + Δ)⊙mᵢ with one correction Δ of all task vectors, λᵢ = η·mean‖δ‖/‖δᵢ‖.

    Δ lessens Σⱼ Σ_rows (Σ_columns δⱼ⊙(δⱼ - Σ λᵢ(δᵢ + Δ)))² from Δ = 0, orthogonal to the subspace S of the outputs that
    tasks share: the leading `shared` part of min(o, n) left singular vectors of all tasks' ⌊min(o, n)/N⌋ leading ones
    side by side. mᵢ keeps the share `density` of the largest |δᵢ| of the matrix. Tensors without a spectrum get the
    mean of wᵢδᵢ.

    The authors' λᵢ is 0.07/‖δᵢ‖, in the weights' unit; here η is relative, about a scale of task arithmetic. They take
    400 steps of Adam, whose steps leave the complement of S, and stop early; here conjugate gradients stay in it and
    take at most `iterations`. Their mask is over the whole model, and what is no encoder's matrix stays the base's.

    Reference: Wei et al. 2025, "Modeling Multi-Task Model Merging as Adaptive Projective Gradient Descent" (DOGE, arXiv
    2501.01230), equations 7 to 11.
    """
    return merge_matrices(operands, _corrected, mean_of_deltas)


def _corrected(matrices: Matrices) -> Tensor:
    eta, density = matrices.operands.number("eta"), matrices.operands.number("density")
    shared, iterations = matrices.operands.number("shared"), int(matrices.operands.number("iterations"))
    what = f"doge, eta {eta!r}, shared {shared!r}, {iterations} iterations"
    correction, scales = matrices.recall(what, lambda: _correction(matrices, eta, shared, iterations))
    merged = torch.zeros_like(correction)
    for j, (weight, scale) in enumerate(zip(matrices.numbers("weight"), scales.cpu().tolist(), strict=True)):
        delta = matrices.delta(j)
        sizes = delta.abs().flatten()
        smallest = sizes.kthvalue(len(sizes) - n_kept(len(sizes), density) + 1).values
        merged.add_(torch.where(delta.abs() >= smallest, delta + correction, 0.0), alpha=weight * scale)
    return merged


def _correction(matrices: Matrices, eta: float, shared: float, iterations: int) -> tuple[Tensor, Tensor]:
    """Return Δ (o, n) and every λᵢ (N,); a task vector of zeros has λ = 0."""
    deltas = [matrices.delta(j).double() for j in range(len(matrices.inputs))]
    norms = torch.stack([torch.linalg.matrix_norm(delta) for delta in deltas])
    dtype = matrices.operands.task_origin.dtype
    if not norms.any():
        return torch.zeros_like(deltas[0], dtype=dtype), torch.zeros_like(norms)
    scales = torch.where(norms > 0, eta * norms[norms > 0].mean() / norms, 0.0)
    missing = [delta.clone() for delta in deltas]  # δⱼ - Σ λᵢδᵢ
    for delta, scale in zip(deltas, scales.cpu().tolist(), strict=True):
        for each in missing:
            each.sub_(delta, alpha=scale)
    basis = _shared_outputs(matrices, shared)
    wanted = _pulled(deltas, missing)
    added = _conjugate_gradients(deltas, basis, wanted.sub_(basis @ (basis.T @ wanted)), iterations)
    return added.div_(scales.sum()).to(dtype), scales


def _shared_outputs(matrices: Matrices, shared: float) -> Tensor:
    """Return S, (o, k) in float64, orthonormal columns."""
    each = matrices.rank // len(matrices.inputs)
    leading = [matrices.svd(j).part(0, each).u for j in range(len(matrices.inputs))]
    return svd(torch.cat(leading, 1).double()).u[:, : int(shared * matrices.rank)]


def _pulled(deltas: Sequence[Tensor], points: Sequence[Tensor]) -> Tensor:
    """Return Σⱼ (δⱼ⊙xⱼ summed over columns)⊙δⱼ: along -½ of the loss's gradient where xⱼ is missing from the merge."""
    total = torch.zeros_like(deltas[0])
    for delta, point in zip(deltas, points, strict=True):
        total.addcmul_(delta, (delta * point).sum(1, keepdim=True))
    return total


def _conjugate_gradients(deltas: Sequence[Tensor], basis: Tensor, residual: Tensor, iterations: int) -> Tensor:
    """Return the X orthogonal to the basis that pulls as the residual does, after some steps from 0."""
    point, direction, power = torch.zeros_like(residual), residual.clone(), float(residual.square().sum())
    enough = ARRIVED**2 * power
    for _ in range(iterations):
        pulled = _pulled(deltas, [direction] * len(deltas))
        pulled.sub_(basis @ (basis.T @ pulled))
        curvature = float((direction * pulled).sum())
        if power <= enough or curvature <= 0.0:
            break
        point.add_(direction, alpha=power / curvature)
        residual = residual - (power / curvature) * pulled
        before, power = power, float(residual.square().sum())
        direction = direction.mul_(power / before).add_(residual)
    return point
