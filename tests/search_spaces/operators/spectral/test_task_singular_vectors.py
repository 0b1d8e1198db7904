from __future__ import annotations

import pytest
import torch

from tests.search_spaces.operators.spectral import plain
from tests.search_spaces.operators.spectral.merged import random_deltas, tau

SHAPES = [(9, 14), (14, 9), (10, 10)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank_share", [0.5, 1.0])
@pytest.mark.parametrize("n_tasks", [1, 2, 3])
def test_tsv_m_is_the_formula(shape: tuple[int, int], rank_share: float, n_tasks: int) -> None:
    deltas, weights = random_deltas(n_tasks, shape), [0.5, 1.5, -0.7][:n_tasks]
    expected = plain.tsv_m([delta.numpy() for delta in deltas], weights, rank_share)
    merged = tau("tsv_m", deltas, *[{"weight": weight} for weight in weights], rank_share=rank_share)
    torch.testing.assert_close(merged, torch.from_numpy(expected), rtol=0, atol=1e-9)


def test_low_rank_tasks_in_different_rows_and_columns_add_up() -> None:
    first, second = torch.zeros(20, 30), torch.zeros(20, 30)
    first[:10, :15] = random_deltas(1, (10, 15), rank=3)[0].float()
    second[10:, 15:] = random_deltas(1, (10, 15), rank=3, seed=1)[0].float()
    torch.testing.assert_close(tau("tsv_m", [first, second]), first + second, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_tasks", [2, 4])
def test_identical_tasks_merge_to_the_task_without_noise(n_tasks: int) -> None:
    (delta,) = random_deltas(1, (20, 30), rank=3)
    torch.testing.assert_close(tau("tsv_m", [delta] * n_tasks), delta, rtol=0, atol=1e-9)


def test_more_tasks_than_directions_still_give_each_a_component() -> None:
    deltas = random_deltas(7, (4, 6))
    merged = tau("tsv_m", deltas)
    assert merged.isfinite().all()
    assert merged.any()


def test_one_task_alone_comes_back() -> None:
    deltas = random_deltas(2, (8, 12))
    merged = tau("tsv_m", deltas, {"weight": 0.0}, {"weight": 1.0})
    torch.testing.assert_close(merged, deltas[1], rtol=0, atol=1e-10)


def test_r_tsvm_without_its_additions_is_tsv_m() -> None:
    deltas = random_deltas(3, (9, 14))
    merged = tau("r_tsvm", deltas, outlier_power=0.0, smallest_rank=1.0)
    torch.testing.assert_close(merged, tau("tsv_m", deltas), rtol=0, atol=1e-12)


def test_r_tsvm_gives_parents_with_outliers_more_weight_and_sparse_ones_fewer_components() -> None:
    shape, deltas = (12, 16), random_deltas(2, (12, 16))
    deltas[0] *= torch.rand(shape, generator=torch.Generator().manual_seed(5)) < 0.3
    deltas[1][0, 0] = 100.0
    strengths, ranks = [], []
    for delta in deltas:
        size = delta.abs()
        outlying = size > size.mean() + 3.0 * size.std(correction=0)
        strengths.append(max(float(size[outlying].sum() / size.sum()), 1e-3))
        sparsity = float((size < 0.1 * size.square().mean().sqrt()).double().mean())
        ranks.append(int(12 / 2 * (0.5 + (1 - sparsity) * 0.5)))
    assert strengths[1] > 2 * strengths[0]
    assert ranks[0] < ranks[1]
    parts = [plain.svd(delta.numpy()) for delta in deltas]
    u = plain.orthonormal(
        torch.cat([torch.from_numpy(p[0][:, :k]) for p, k in zip(parts, ranks, strict=True)], 1).numpy()
    )
    v = plain.orthonormal(
        torch.cat([torch.from_numpy(p[2][:k].T) for p, k in zip(parts, ranks, strict=True)], 1).numpy()
    )
    mean = sum(strengths) / 2
    s = torch.cat([torch.from_numpy(p[1][:k]) * x / mean for p, k, x in zip(parts, ranks, strengths, strict=True)])
    expected = torch.from_numpy(u) @ torch.diag(s) @ torch.from_numpy(v).T
    torch.testing.assert_close(tau("r_tsvm", deltas), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("power", [-1.0, 1.0])
def test_r_tsvm_is_finite_without_any_outlier(power: float) -> None:
    assert tau("r_tsvm", [torch.ones(6, 8), torch.zeros(6, 8)], outlier_power=power).isfinite().all()
