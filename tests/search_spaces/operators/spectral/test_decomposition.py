from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.errors import SpaceError
from search_spaces.operators.spectral.decomposition import polar, soft_thresholded, svd
from tests.search_spaces.operators.spectral.merged import random_deltas

sizes = st.integers(1, 20)


@given(o=sizes, n=sizes, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_the_factors_are_orthonormal_and_multiply_to_the_matrix(o: int, n: int, seed: int) -> None:
    (matrix,) = random_deltas(1, (o, n), seed=seed)
    u, s, vh = svd(matrix)
    torch.testing.assert_close((u * s) @ vh, matrix, rtol=0, atol=1e-3 * float(s[0]))  # what is cut off is below this
    torch.testing.assert_close(u.T @ u, torch.eye(len(s), dtype=u.dtype), rtol=0, atol=1e-8)
    torch.testing.assert_close(vh @ vh.T, torch.eye(len(s), dtype=u.dtype), rtol=0, atol=1e-8)
    torch.testing.assert_close(s, torch.linalg.svdvals(matrix)[: len(s)], rtol=1e-9, atol=0)


@pytest.mark.parametrize("shape", [(60, 90), (90, 60)])
def test_float32_singular_values_agree_with_lapack_to_seven_digits_down_to_the_numerical_rank(
    shape: tuple[int, int],
) -> None:
    u, _, vh = svd(random_deltas(1, shape)[0])
    spectrum = torch.logspace(0, -3.5, 60, dtype=torch.float64)
    matrix = ((u * spectrum) @ vh).float()
    found = svd(matrix)
    assert len(found.s) == 60
    torch.testing.assert_close(found.s.double(), torch.linalg.svdvals(matrix.double()), rtol=2e-7, atol=0)
    torch.testing.assert_close((found.u * found.s) @ found.vh, matrix, rtol=0, atol=2e-7)


@pytest.mark.parametrize("rank", [1, 3])
def test_rounding_noise_has_no_components(rank: int) -> None:
    (matrix,) = random_deltas(1, (30, 50), rank=rank)
    assert len(svd(matrix.float()).s) == rank


def test_a_zero_matrix_has_rank_0() -> None:
    u, s, vh = svd(torch.zeros(4, 3))
    assert (u.shape, s.shape, vh.shape) == ((4, 0), (0,), (0, 3))


def test_the_nearest_orthonormal_matrix_is_lapacks() -> None:
    (columns,) = random_deltas(1, (20, 8))
    p, _, qt = torch.linalg.svd(columns, full_matrices=False)
    torch.testing.assert_close(polar(columns), p @ qt, rtol=0, atol=1e-10)


def test_columns_that_repeat_share_one_direction() -> None:
    (columns,) = random_deltas(1, (20, 4))
    basis = polar(columns)
    twice = polar(torch.cat([basis, basis], 1))
    torch.testing.assert_close(twice @ twice.T, basis @ basis.T, rtol=0, atol=1e-10)
    assert len(svd(twice).s) == 4


@pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
def test_soft_thresholding_lessens_every_singular_value(shape: tuple[int, int]) -> None:
    (matrix,) = random_deltas(1, shape)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    expected = (u * (s - 2.0).clamp(min=0.0)) @ vh
    torch.testing.assert_close(soft_thresholded(matrix, 2.0), expected, rtol=0, atol=1e-10)
    assert not soft_thresholded(matrix, 1e3).any()
    assert not soft_thresholded(torch.zeros(shape), 0.0).any()


def test_a_matrix_with_nan_is_refused() -> None:
    with pytest.raises(SpaceError, match="expected finite weights to decompose, found NaN or infinity"):
        svd(torch.full((3, 3), float("nan")))
