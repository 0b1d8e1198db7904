"""Task singular vectors: the leading singular directions of every task, made orthogonal to one another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands
from search_spaces.operators.spectral.decomposition import polar
from search_spaces.operators.spectral.matrices import Matrices, mean_of_deltas, merge_matrices

# An outlier share this small counts as this: powers of it stay finite.
SMALLEST_OUTLIER_SHARE = 1e-3


def tsv_m(operands: Operands) -> Tensor:
    """Return τ = U diag(S) Vᵀ from the leading k singular components of every task.

    δᵢ = UᵢSᵢVᵢᵀ is cut to its leading k = ⌊κ·min(o, n)/N⌋ components, but at least one; κ is `rank_share`, 1 in the
    paper. U is the orthonormal matrix nearest to [U₁ … U_N] (`decomposition.polar`), V likewise, S = [w₁S₁ … w_NS_N].
    Directions that tasks share exactly are mapped to zero beyond the first, where the reference code fills in
    arbitrary ones: identical tasks merge to the task's leading components. Tensors without a spectrum get the mean of
    wᵢδᵢ.

    Reference: Gargiulo et al. 2025, "Task Singular Vectors" (arXiv 2412.00081), algorithm 1.
    """
    return merge_matrices(operands, _plain, mean_of_deltas)


def r_tsvm(operands: Operands) -> Tensor:
    """Return τ as `tsv_m` with weights by outliers and ranks by sparsity. Ours, inspired by R-TSVM; not a reproduction.

    Of each δᵢ, oᵢ is the share of Σ|δᵢ| in elements beyond mean + `outlier_sigmas` standard deviations of |δᵢ|, and zᵢ
    the share of elements below `sparse_below` times its root mean square. wᵢ is multiplied by oᵢᵖ over its mean, p
    being `outlier_power` (0: weights as they are), and kᵢ by r + (1 - zᵢ)(1 - r), r being `smallest_rank` (1: ranks as
    they are).

    Reference: after Yang et al. 2025, "Mix Data or Merge Models?" (arXiv 2502.06876), whose formulas were not at hand.
    """
    return merge_matrices(operands, _by_outliers, mean_of_deltas)


def _plain(matrices: Matrices) -> Tensor:
    rank = _rank(matrices, 1.0)
    return _orthogonalised(matrices, matrices.numbers("weight"), [rank] * len(matrices.inputs))


def _by_outliers(matrices: Matrices) -> Tensor:
    power, smallest = matrices.operands.number("outlier_power"), matrices.operands.number("smallest_rank")
    shares = [_outliers_and_sparsity(matrices, j) for j in range(len(matrices.inputs))]
    strengths = [max(outliers, SMALLEST_OUTLIER_SHARE) ** power for outliers, _ in shares]
    mean = sum(strengths) / len(strengths)
    weights = [w * strength / mean for w, strength in zip(matrices.numbers("weight"), strengths, strict=True)]
    ranks = [_rank(matrices, smallest + (1.0 - sparsity) * (1.0 - smallest)) for _, sparsity in shares]
    return _orthogonalised(matrices, weights, ranks)


def _rank(matrices: Matrices, share: float) -> int:
    per_task = matrices.rank / len(matrices.inputs)
    return max(1, int(per_task * matrices.operands.number("rank_share") * share))


def _orthogonalised(matrices: Matrices, weights: Sequence[float], ranks: Sequence[int]) -> Tensor:
    def bases() -> tuple[Tensor, ...]:
        kept = [matrices.svd(j).part(0, rank) for j, rank in enumerate(ranks)]
        u, v = torch.cat([part.u for part in kept], 1), torch.cat([part.vh for part in kept]).T
        sizes = torch.tensor([len(part.s) for part in kept])
        return polar(u), torch.cat([part.s for part in kept]), polar(v).T.contiguous(), sizes

    u, s, vh, sizes = matrices.recall(f"tsv, ranks {list(ranks)}", bases)
    return (u * (s * torch.tensor(weights, dtype=s.dtype).repeat_interleave(sizes.cpu()).to(s.device))) @ vh


def _outliers_and_sparsity(matrices: Matrices, j: int) -> tuple[float, float]:
    sigmas, below = matrices.operands.number("outlier_sigmas"), matrices.operands.number("sparse_below")

    def shares() -> tuple[Tensor]:
        size = matrices.delta(j).abs().double()
        root_mean_square = size.square().mean().sqrt()
        outliers = size[size > size.mean() + sigmas * size.std(correction=0)].sum() / size.sum().clamp(min=1e-300)
        return (torch.stack([outliers, (size < below * root_mean_square).double().mean()]),)

    (found,) = matrices.recall(f"outliers {sigmas!r}, sparsity {below!r}", shares, of=(j,))
    return float(found[0]), float(found[1])
