"""DOGE against dense least squares and autograd on the authors' loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.search_spaces.operators.spectral.merged import random_deltas, tau

SHAPES = [(6, 9), (9, 6)]


def basis_of(deltas: list[Tensor], shared: float) -> Tensor:
    rank = min(deltas[0].shape)
    leading = [torch.linalg.svd(delta).U[:, : rank // len(deltas)] for delta in deltas]
    return torch.linalg.svd(torch.cat(leading, 1), full_matrices=False).U[:, : int(shared * rank)]


def loss(correction: Tensor, deltas: list[Tensor], scales: Tensor) -> Tensor:
    """The authors' `taskvector_loss`, in other words."""
    merged = sum((scale * (delta + correction) for scale, delta in zip(scales, deltas, strict=True)), torch.zeros(()))
    return torch.stack([(delta * (delta - merged)).sum(1).square().sum() for delta in deltas]).sum()


def scales_of(deltas: list[Tensor], eta: float) -> Tensor:
    norms = torch.stack([delta.norm() for delta in deltas])
    return eta * norms.mean() / norms


def solved(deltas: list[Tensor], scales: Tensor, shared: float) -> Tensor:
    """The smallest minimiser in the complement of the shared subspace, by dense least squares."""
    s = basis_of(deltas, shared)
    o, n = deltas[0].shape
    free = torch.linalg.svd(torch.eye(o, dtype=s.dtype) - s @ s.T).U[:, : o - s.shape[1]]
    merged = sum((scale * delta for scale, delta in zip(scales, deltas, strict=True)), torch.zeros(()))
    rows, wanted = [], []
    for delta in deltas:
        for r in range(o):  # Σ_columns δ_r (free Z)_r Σλ = Σ_columns δ_r (δ - merged)_r
            rows.append(torch.outer(free[r], delta[r]).flatten() * scales.sum())
            wanted.append(delta[r] @ (delta - merged)[r])
    z = torch.linalg.lstsq(torch.stack(rows), torch.stack(wanted)[:, None], driver="gelsd").solution
    return free @ z.view(-1, n)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shared", [0.0, 0.4])
def test_the_correction_solves_the_authors_loss_off_the_shared_subspace(shape: tuple[int, int], shared: float) -> None:
    deltas = random_deltas(2, shape)
    deltas[1] *= 3.0
    scales = scales_of(deltas, 0.4)
    correction = solved(deltas, scales, shared)
    expected = sum((scale * (delta + correction) for scale, delta in zip(scales, deltas, strict=True)), torch.zeros(()))
    merged = tau("doge", deltas, eta=0.4, shared=shared, density=1.0, iterations=1000)
    torch.testing.assert_close(merged, expected, rtol=0, atol=1e-4)
    point = correction.requires_grad_()
    (slope,) = torch.autograd.grad(loss(point, deltas, scales), point)
    s = basis_of(deltas, shared)
    assert float((slope - s @ (s.T @ slope)).norm()) < 1e-6 * float(loss(torch.zeros(shape), deltas, scales))


def test_a_step_of_the_descent_is_along_the_projected_gradient() -> None:
    deltas = random_deltas(3, (8, 12))
    scales, s = scales_of(deltas, 0.3), basis_of(deltas, 0.25)
    start = torch.zeros(8, 12, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(start, deltas, scales), start)
    slope = slope - s @ (s.T @ slope)
    plain = sum((scale * delta for scale, delta in zip(scales, deltas, strict=True)), torch.zeros(()))
    step = tau("doge", deltas, shared=0.25, density=1.0, iterations=1) - plain
    torch.testing.assert_close(step / step.norm(), -slope / slope.norm(), rtol=0, atol=1e-9)


def test_masks_keep_the_largest_elements_of_each_task_vector_with_its_correction() -> None:
    deltas = random_deltas(2, (8, 12))
    scales = scales_of(deltas, 0.3)
    whole = tau("doge", deltas, density=1.0)
    plain = sum((scale * delta for scale, delta in zip(scales, deltas, strict=True)), torch.zeros(()))
    correction = (whole - plain) / scales.sum()
    expected = torch.zeros_like(whole)
    for scale, delta in zip(scales, deltas, strict=True):
        kept = torch.zeros(96, dtype=torch.bool)
        kept[delta.abs().flatten().topk(24).indices] = True
        expected += scale * torch.where(kept.view(8, 12), delta + correction, 0.0)
    torch.testing.assert_close(tau("doge", deltas, density=0.25), expected, rtol=0, atol=1e-12)


def test_a_lone_parent_gives_itself_off_its_own_subspace_and_zeros_ask_for_nothing() -> None:
    (delta,), zero = random_deltas(1, (6, 9)), torch.zeros(6, 9, dtype=torch.float64)
    torch.testing.assert_close(tau("doge", [delta], shared=0.0, density=1.0), delta, rtol=0, atol=1e-5)
    merged = tau("doge", [delta, zero], shared=0.0, density=1.0)
    torch.testing.assert_close(merged, delta, rtol=0, atol=1e-5)
