from __future__ import annotations

import pytest
import torch

from tests.search_spaces.operators.spectral import plain
from tests.search_spaces.operators.spectral.merged import random_deltas, tau

SHAPES = [(9, 14), (14, 9), (10, 10)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("n_tasks", [2, 4])
def test_opcm_is_the_papers_recursion(shape: tuple[int, int], alpha: float, n_tasks: int) -> None:
    deltas = random_deltas(n_tasks, shape)
    expected = plain.opcm([delta.numpy() for delta in deltas], alpha)
    torch.testing.assert_close(tau("opcm", deltas, alpha=alpha), torch.from_numpy(expected), rtol=0, atol=1e-9)


def test_the_first_parent_alone_comes_back() -> None:
    deltas = random_deltas(3, (9, 14))
    assert torch.equal(tau("opcm", deltas[:1]), deltas[0])


def test_the_order_is_that_of_the_priorities_and_matters() -> None:
    deltas = random_deltas(3, (9, 14))
    given = tau("opcm", deltas)
    by_priority = tau(
        "opcm", [deltas[2], deltas[0], deltas[1]], {"priority": 0.1}, {"priority": 0.9}, {"priority": 0.8}
    )
    torch.testing.assert_close(by_priority, given, rtol=0, atol=1e-12)
    assert not torch.allclose(tau("opcm", deltas[::-1]), given, rtol=0, atol=1e-2)


def test_weights_scale_the_task_vectors() -> None:
    deltas, weights = random_deltas(3, (9, 14)), (0.5, 1.5, -0.75)
    scaled = tau("opcm", [weight * delta for weight, delta in zip(weights, deltas, strict=True)])
    merged = tau("opcm", deltas, *[{"weight": weight} for weight in weights])
    torch.testing.assert_close(merged, scaled, rtol=0, atol=1e-12)
    equal = tau("opcm", deltas, *[{"weight": -0.5}] * 3)
    torch.testing.assert_close(equal, -0.5 * tau("opcm", deltas), rtol=0, atol=1e-12)


def test_protecting_all_of_the_spectrum_removes_all_that_lies_in_it() -> None:
    first, second = random_deltas(2, (14, 9))
    u, _, vh = torch.linalg.svd(first, full_matrices=False)
    added = second - u @ (u.T @ second @ vh.T) @ vh
    total = first + added
    norms = [torch.linalg.matrix_norm(delta) for delta in (first, second)]
    expected = total * (sum(norms) / 2 / torch.linalg.matrix_norm(total))
    torch.testing.assert_close(tau("opcm", [first, second], alpha=1.0), expected, rtol=0, atol=1e-9)


def test_the_same_task_again_adds_nothing() -> None:
    (delta,) = random_deltas(1, (9, 14))
    torch.testing.assert_close(tau("opcm", [delta, delta], alpha=0.5), delta, rtol=0, atol=1e-9)


def test_directions_that_the_merge_does_not_use_are_left_to_the_next_task() -> None:
    first, second = torch.zeros(20, 30), torch.zeros(20, 30)
    first[:10, :15] = random_deltas(1, (10, 15), rank=2)[0].float()
    second[10:, 15:] = random_deltas(1, (10, 15), rank=2, seed=1)[0].float()
    merged = tau("opcm", [first, second], alpha=1.0)
    torch.testing.assert_close(merged / merged.norm(), (first + second) / (first + second).norm(), rtol=0, atol=1e-6)


def test_a_task_that_changed_nothing_protects_nothing() -> None:
    (delta,) = random_deltas(1, (9, 14))
    merged = tau("opcm", [torch.zeros_like(delta), delta])
    torch.testing.assert_close(merged, 0.5 * delta)  # at the mean of the norms


def test_what_is_left_of_task_vectors_that_cancel_is_not_blown_up() -> None:
    (delta,) = random_deltas(1, (50,))
    merged = tau(
        "opcm", [delta.float(), delta.float(), delta.float()], {"weight": 0.1}, {"weight": 0.2}, {"weight": -0.3}
    )
    assert merged.norm() < 1e-6
