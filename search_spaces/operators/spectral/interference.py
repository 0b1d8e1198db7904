"""One task vector that answers each parent's own inputs as the parent does, solved from the task vectors alone.

The rows of a linear layer's task vector lie where its training inputs did. So δᵢᵀδᵢ stands in for the covariance of the
inputs, and what a merge τ does wrong on the i-th task is ‖(τ - wᵢδᵢ)δᵢᵀ‖².
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands
from search_spaces.operators.spectral.decomposition import svd
from search_spaces.operators.spectral.matrices import Matrices, mean_of_deltas, merge_matrices


def wudi(operands: Operands) -> Tensor:
    """Return the τ that minimises Σ ‖(τ - wᵢδ̃ᵢ)δ̃ᵢᵀ‖² / ‖δᵢ‖², as far as a descent from τ₀ gets.

    δ̃ᵢ is δᵢ cut to `rank_share` of its min(o, n) singular components, Hᵢ = δ̃ᵢᵀδ̃ᵢ/‖δᵢ‖² and τ₀ the sum or the mean of
    wᵢδᵢ (`initial`). With ΣHᵢ = V diag(e) Vᵀ, a descent that has come a share g(e) of its way along each eigenvector is

        τ = τ₀ + (Σ wᵢδ̃ᵢHᵢ - τ₀ΣHᵢ) V diag(g/e) Vᵀ.

    `solver` says which: cut, arrived where e exceeds `cut` times the largest, not moved elsewhere; time, the gradient
    flow at `time` t, g = 1 - exp(-te) (plain descent takes t = 2·rate·iterations); adam and sgd (momentum .9), the
    published iterations in float32, for comparison: Adam from the sum is WUDI's, whose 300 steps of 1e-5 move no
    element by more than 3e-3. The null space of all δ̃ᵢ keeps τ₀, so that low-rank task vectors, and a parent alone,
    are safe. Tensors without a spectrum get the mean of wᵢδᵢ; the authors descend on embeddings and head, too. Rows are
    outputs: weights stored the other way round, such as GPT-2's, are solved for their outputs.

    Reference: Cheng et al. 2025, "Whoever Started the Interference Should End It" (WUDI, arXiv 2503.08099), equation 8.
    """
    share = operands.number("rank_share")
    return merge_matrices(operands, lambda matrices: _least_interfering(matrices, share), mean_of_deltas)


def optmerge(operands: Operands) -> Tensor:
    """Return `wudi`'s τ with every δ̃ᵢ cut to a share `rank_share` of min(o, n)/N components, by default from the mean.

    The authors' iterations are `solver: sgd` with a rate of 1e-4.

    Reference: Wei et al. 2025, "Unifying Multimodal Large Language Model Capabilities and Modalities via Model Merging"
    (OptMerge, arXiv 2505.19892), section 4.
    """
    share = operands.number("rank_share")
    return merge_matrices(
        operands, lambda matrices: _least_interfering(matrices, share / len(matrices.inputs)), mean_of_deltas
    )


def _least_interfering(matrices: Matrices, rank_share: float) -> Tensor:
    operands, weights = matrices.operands, matrices.numbers("weight")
    start = 1.0 if operands.parameters["initial"] == "sum" else 1.0 / len(weights)
    initial = matrices.total([start * weight for weight in weights])
    if operands.parameters["solver"] in ("adam", "sgd"):
        return _descend(matrices, initial, weights, rank_share)
    what = f"interference, start {start!r}, rank share {rank_share!r}"
    vh, e, *ways = matrices.recall(what, lambda: _eigenvectors_and_ways(matrices, start, rank_share))
    if not len(e):
        return initial
    if operands.parameters["solver"] == "cut":
        arrived = (e > operands.number("cut") * e.max()).to(e.dtype)
    else:
        arrived = -torch.expm1(-operands.number("time") * e)
    way = ways[0] * weights[0]
    for weight, each in zip(weights[1:], ways[1:], strict=True):
        way.add_(each, alpha=weight)
    return initial.addmm_(way.mul_(arrived), vh)


def _eigenvectors_and_ways(matrices: Matrices, start: float, rank_share: float) -> tuple[Tensor, ...]:
    """Return Vᵀ (r, n), the eigenvalues e (r,), and of each parent (δ̃ᵢHᵢ/e - start·δᵢ)V (o, r).

    The ways, weighted and added, lead from τ₀ to the minimum. Stacked δ̃ᵢ/‖δᵢ‖ are U S Vᵀ with S² = e, so δ̃ᵢHᵢV/e is
    ‖δᵢ‖ DᵢDᵢᵀUᵢ/S of the i-th block D of the stack: nothing is divided by a small eigenvalue twice.
    """
    shares, norms = zip(*_normalised(matrices, rank_share), strict=True)
    factors = svd(torch.cat(shares))
    ways = []
    for j, u in enumerate(torch.split(factors.u, matrices.shape[0])):
        solved = norms[j] * (shares[j] @ (shares[j].T @ u)) / factors.s
        ways.append(solved.addmm_(matrices.delta(j).double(), factors.vh.T, alpha=-start))
    dtype = matrices.operands.task_origin.dtype
    return tuple(part.to(dtype) for part in (factors.vh, factors.s.square(), *ways))


def _normalised(matrices: Matrices, rank_share: float) -> list[tuple[Tensor, float]]:
    """Return each δ̃ᵢ/‖δᵢ‖ (o, n) in float64, zeros of a δᵢ of zeros, and ‖δᵢ‖."""
    found = []
    for j in range(len(matrices.inputs)):
        delta = matrices.delta(j).double()
        norm = float(torch.linalg.matrix_norm(delta))
        rank = max(1, int(rank_share * matrices.rank))
        if rank < matrices.rank:
            kept = matrices.svd(j).part(0, rank)
            delta = kept.product(kept.s).double()
        found.append((delta.div_(norm) if norm else delta, norm))
    return found


def _descend(matrices: Matrices, initial: Tensor, weights: list[float], rank_share: float) -> Tensor:
    """Return τ after the published iterations: the loss's gradient is 2(τΣHᵢ - Σ wᵢδ̃ᵢHᵢ)."""
    total_h = torch.zeros(matrices.shape[1], matrices.shape[1], dtype=torch.float64)
    wanted = torch.zeros(matrices.shape, dtype=torch.float64)
    for weight, (share, norm) in zip(weights, _normalised(matrices, rank_share), strict=True):
        gram = share.T @ share
        total_h += gram
        wanted.addmm_(share, gram, alpha=weight * norm)
    h, target, tau = total_h.to(initial.dtype), wanted.to(initial.dtype), initial.clone()
    rate, adam = matrices.operands.number("rate"), matrices.operands.parameters["solver"] == "adam"
    make: Callable[..., torch.optim.Optimizer] = torch.optim.Adam if adam else torch.optim.SGD
    optimiser = make([tau], lr=rate, **({} if adam else {"momentum": 0.9}))
    for _ in range(int(matrices.operands.number("iterations"))):
        tau.grad = torch.addmm(target, tau, h, beta=-2.0, alpha=2.0)
        optimiser.step()
    tau.grad = None
    return tau
