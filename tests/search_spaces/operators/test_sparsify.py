from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.operators import sparsify


def reference_mask(delta: Tensor, density: float) -> Tensor:
    """The definition, by a full stable sort: |x| descending, then flat index ascending, k kept."""
    k = max(1, math.floor(density * delta.numel() + 1e-9))
    order = sorted(range(delta.numel()), key=lambda i: (-abs(float(delta.flatten()[i])), i))
    mask = torch.zeros(delta.numel(), dtype=torch.bool)
    mask[order[:k]] = True
    return mask.view(delta.shape)


@given(
    values=st.lists(st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0]), min_size=1, max_size=60),
    density=st.floats(0.001, 1.0),
)
@settings(deadline=None, max_examples=200)
def test_trimming_agrees_with_a_stable_sort_even_when_magnitudes_tie(values: list[float], density: float) -> None:
    delta = torch.tensor(values)
    expected = delta * reference_mask(delta, density)
    assert torch.equal(sparsify.keep_largest(delta.clone(), sparsify.trim(delta, density)), expected)


@pytest.mark.parametrize("n", range(1, 201))
def test_the_kept_share_is_the_density_for_every_small_tensor(n: int) -> None:
    delta = torch.randn(n, generator=torch.Generator().manual_seed(n)).round(decimals=1) + 10.0  # many ties, no zeros
    for density in (1 / 256, 0.1, 0.29, 1 / 3, 0.5, 0.9, 1.0):
        kept = sparsify.keep_largest(delta.clone(), sparsify.trim(delta, density)).count_nonzero()
        assert kept == max(1, math.floor(density * n + 1e-9)), density


def test_the_count_forgives_products_just_below_a_whole_number() -> None:
    assert 0.29 * 100 < 29
    assert sparsify.n_kept(100, 0.29) == 29


def test_a_matrix_is_trimmed_as_one_flat_tensor() -> None:
    delta = torch.tensor([[1.0, -4.0], [3.0, 2.0]])
    assert sparsify.keep_largest(delta.clone(), sparsify.trim(delta, 0.5)).tolist() == [[0.0, -4.0], [3.0, 0.0]]


def test_bfloat16_ties_do_not_keep_more_than_k() -> None:
    delta = torch.randn(100, 100, generator=torch.Generator().manual_seed(0)).bfloat16().float()
    assert sparsify.keep_largest(delta.clone(), sparsify.trim(delta, 0.2)).count_nonzero() == 2000


def test_random_masks_are_nested_and_have_the_density_asked_for() -> None:
    ones = torch.ones(200, 200)
    few, many = (sparsify.drop_randomly(ones.clone(), d, torch.Generator().manual_seed(7)) for d in (0.2, 0.6))
    assert bool((few <= many).all())
    assert float(few.mean()) == pytest.approx(0.2, abs=0.01)
    assert float(many.mean()) == pytest.approx(0.6, abs=0.015)
