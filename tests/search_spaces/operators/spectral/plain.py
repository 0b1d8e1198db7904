"""The operators once more, straight from the papers' formulas: NumPy, float64, full decompositions, no shortcuts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def svd(matrix: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    return np.linalg.svd(matrix, full_matrices=False)


def orthonormal(columns: Matrix) -> Matrix:
    p, _, qt = svd(columns)
    return p @ qt


def iso_c(deltas: Sequence[Matrix], flatness: float) -> Matrix:
    u, s, vt = svd(np.sum(deltas, axis=0))
    return u @ np.diag((1 - flatness) * s + flatness * s.mean()) @ vt


def iso_cts(deltas: Sequence[Matrix], common: float) -> Matrix:
    n, r = len(deltas), min(deltas[0].shape)
    per_task = round((r - int(r * common)) / n)
    k = r - n * per_task
    u, s, vt = (part[..., :k] if part.ndim < 2 or i == 0 else part[:k] for i, part in enumerate(svd(sum(deltas))))
    all_u, all_s, all_vt = [u], [s], [vt]
    for delta in deltas:
        own_u, own_s, own_vt = svd((np.eye(len(u)) - u @ u.T) @ delta)
        all_u.append(own_u[:, :per_task])
        all_s.append(own_s[:per_task])
        all_vt.append(own_vt[:per_task])
    level = np.concatenate(all_s).mean()
    return level * orthonormal(np.hstack(all_u)) @ orthonormal(np.vstack(all_vt).T).T


def tsv_m(deltas: Sequence[Matrix], weights: Sequence[float], rank_share: float) -> Matrix:
    k = max(1, int(rank_share * min(deltas[0].shape) / len(deltas)))
    parts = [svd(delta) for delta in deltas]
    u = orthonormal(np.hstack([u[:, :k] for u, _, _ in parts]))
    v = orthonormal(np.vstack([vt[:k] for _, _, vt in parts]).T)
    s = np.concatenate([w * s[:k] for w, (_, s, _) in zip(weights, parts, strict=True)])
    return u @ np.diag(s) @ v.T


def star(delta: Matrix, eta: float) -> Matrix:
    u, s, vt = svd(delta)
    r = next(r for r in range(1, len(s) + 1) if s[:r].sum() >= eta / 100 * s.sum() - 1e-12)
    return u[:, :r] @ np.diag(s[:r] * s.sum() / s[:r].sum()) @ vt[:r]


def truncated(delta: Matrix, first: int, stop: int) -> Matrix:
    u, s, vt = svd(delta)
    return sum((s[j] * np.outer(u[:, j], vt[j]) for j in range(first, stop)), np.zeros_like(delta))


def lore(parents: Sequence[Matrix], kappa: float, iterations: int) -> tuple[Matrix, list[Matrix]]:
    mean = np.mean(parents, axis=0)
    threshold = kappa * max(svd(parent - mean)[1][0] for parent in parents)
    deltas = [np.zeros_like(mean) for _ in parents]
    anchor = mean
    for _ in range(iterations):
        anchor = np.mean([parent - delta for parent, delta in zip(parents, deltas, strict=True)], axis=0)
        for i, parent in enumerate(parents):
            u, s, vt = svd(parent - anchor)
            deltas[i] = u @ np.diag(np.maximum(s - threshold, 0)) @ vt
    return anchor, deltas


def opcm(deltas: Sequence[Matrix], alpha: float) -> Matrix:
    """The paper's recursion, rescaled after every step."""
    merged, scale = deltas[0], 1.0
    for t in range(1, len(deltas)):
        u, s, vt = np.linalg.svd(merged, full_matrices=True)
        share = np.cumsum(s) / s.sum()
        r = int((share <= alpha).sum())
        projected = u.T @ deltas[t] @ vt.T
        np.fill_diagonal(projected, 0.0)
        projected[:r, :r] = 0.0
        merged = scale * merged + u @ projected @ vt
        scale = np.linalg.norm(merged) / np.mean([np.linalg.norm(delta) for delta in deltas[: t + 1]])
        merged = merged / scale
    return merged
