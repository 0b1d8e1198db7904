from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search_spaces.operators.spectral import plain
from tests.search_spaces.operators.spectral.merged import nuclear, random_deltas, tau

SHAPES = [(9, 14), (14, 9), (10, 10)]
BOTH = ("iso_c", "iso_cts")


def weights(*values: float) -> list[dict[str, float]]:
    return [{"weight": value} for value in values]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("flatness", [0.0, 0.3, 1.0])
def test_iso_c_is_the_formula(shape: tuple[int, int], flatness: float) -> None:
    deltas, w = random_deltas(3, shape), (0.5, 1.5, -0.7)
    expected = plain.iso_c([weight * delta.numpy() for weight, delta in zip(w, deltas, strict=True)], flatness)
    merged = tau("iso_c", deltas, *weights(*w), flatness=flatness)
    torch.testing.assert_close(merged, torch.from_numpy(expected), rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("common", [0.2, 0.5, 0.8])
def test_iso_cts_is_the_formula(shape: tuple[int, int], common: float) -> None:
    deltas, w = random_deltas(3, shape), (0.5, 1.5, -0.7)
    expected = plain.iso_cts([weight * delta.numpy() for weight, delta in zip(w, deltas, strict=True)], common)
    merged = tau("iso_cts", deltas, *weights(*w), common=common)
    torch.testing.assert_close(merged, torch.from_numpy(expected), rtol=0, atol=1e-9)


@given(o=st.integers(2, 12), n=st.integers(2, 12), n_tasks=st.integers(1, 4), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_a_flat_spectrum_keeps_the_nuclear_norm(o: int, n: int, n_tasks: int, seed: int) -> None:
    deltas = random_deltas(n_tasks, (o, n), seed=seed)
    merged = tau("iso_c", deltas)
    s = torch.linalg.svdvals(merged)
    torch.testing.assert_close(s, s.mean().expand_as(s), rtol=1e-8, atol=0)
    assert nuclear(merged) == pytest.approx(nuclear(torch.stack(deltas).sum(0)), rel=1e-8)


@pytest.mark.parametrize("operator", BOTH)
def test_low_rank_task_vectors_are_flattened_within_their_rank_only(operator: str) -> None:
    deltas = [delta.float() for delta in random_deltas(3, (40, 30), rank=2)]
    s = torch.linalg.svdvals(tau(operator, deltas).double())
    assert s[5] / s[0] > 0.999
    assert s[6] < 1e-5 * s[0]


def test_the_nuclear_norm_of_low_rank_task_vectors_is_kept_too() -> None:
    deltas = [delta.float() for delta in random_deltas(3, (40, 30), rank=2)]
    assert nuclear(tau("iso_c", deltas)) == pytest.approx(nuclear(torch.stack(deltas).sum(0)), rel=1e-5)


def test_without_specific_directions_iso_cts_is_iso_c() -> None:
    deltas = random_deltas(3, (8, 12))
    assert torch.equal(tau("iso_cts", deltas, common=1.0), tau("iso_c", deltas))


@pytest.mark.parametrize("n_tasks", [4, 5, 9])
@pytest.mark.parametrize("common", [0.0, 0.2, 0.8])
def test_more_tasks_than_directions_leave_iso_cts_finite(n_tasks: int, common: float) -> None:
    deltas = random_deltas(n_tasks, (4, 6))
    assert tau("iso_cts", deltas, common=common).isfinite().all()


@pytest.mark.parametrize("operator", BOTH)
def test_equal_weights_scale_the_merge(operator: str) -> None:
    deltas = random_deltas(3, (8, 12))
    merged = tau(operator, deltas, *weights(-0.5, -0.5, -0.5))
    torch.testing.assert_close(merged, -0.5 * tau(operator, deltas), rtol=0, atol=1e-12)


@pytest.mark.parametrize("operator", BOTH)
def test_nearly_equal_weights_merge_as_equal_ones(operator: str) -> None:
    deltas = random_deltas(3, (8, 12))
    merged = tau(operator, deltas, *weights(0.5, 0.5, 0.5 + 1e-9))
    torch.testing.assert_close(merged, tau(operator, deltas, *weights(0.5, 0.5, 0.5)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("operator", BOTH)
def test_task_vectors_that_cancel_merge_to_finite_values(operator: str) -> None:
    (delta,) = random_deltas(1, (8, 12))
    assert tau(operator, [delta, -delta]).isfinite().all()


def test_without_flatness_iso_c_is_task_arithmetic() -> None:
    deltas = random_deltas(3, (8, 12))
    merged = tau("iso_c", deltas, *weights(0.5, -0.25, 1.0), flatness=0.0)
    torch.testing.assert_close(merged, 0.5 * deltas[0] - 0.25 * deltas[1] + deltas[2])
