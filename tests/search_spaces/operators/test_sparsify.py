from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.operators import sparsify
from search_spaces.operators.threshold import trim_to


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


def uniform(shape: tuple[int, ...], seed: int = 7) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_random_masks_are_nested_and_have_the_density_asked_for() -> None:
    ones, draw = torch.ones(200, 200), uniform((200, 200))
    few, many = (sparsify.drop_randomly(ones.clone(), d, draw) for d in (0.2, 0.6))
    assert bool((few <= many).all())
    assert float(few.mean()) == pytest.approx(0.2, abs=0.01)
    assert float(many.mean()) == pytest.approx(0.6, abs=0.015)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 11, 200])
@pytest.mark.parametrize(("density", "epsilon"), [(0.5, 0.15), (0.05, 0.15), (0.99, 0.3), (0.3, 0.0)])
def test_the_mean_chance_of_being_kept_is_the_density_in_every_row(n: int, density: float, epsilon: float) -> None:
    chances = sparsify.keep_probabilities(torch.randn(4, n), density, epsilon)
    torch.testing.assert_close(chances.mean(dim=1), torch.full((4,), density), rtol=1e-5, atol=1e-6)
    assert bool(((chances > 0.0) & (chances <= 1.0)).all())


def test_the_largest_of_a_row_is_the_likeliest_to_be_kept_and_equals_are_as_likely() -> None:
    chances = sparsify.keep_probabilities(torch.tensor([[1.0, -3.0, 2.0], [5.0, -5.0, 5.0]]), 0.5, 0.2)
    torch.testing.assert_close(chances, torch.tensor([[0.3, 0.7, 0.5], [0.5, 0.5, 0.5]]))


def slow_band(values: list[float], density: float, gamma: float) -> list[float]:
    """Model Breadcrumbs with mergekit's counts, by sorting."""
    n = len(values)
    order = sorted(range(n), key=lambda i: (-abs(values[i]), i))
    target = max(1, math.floor(density * n + 1e-9))
    top = min(math.floor(gamma * n + 1e-9), n - target)
    kept = set(order[top : top + target])
    return [value if i in kept else 0.0 for i, value in enumerate(values)]


@pytest.mark.parametrize("n", [1, 2, 9, 100, 199])
@pytest.mark.parametrize(("density", "gamma"), [(0.6, 0.05), (0.1, 0.0), (0.9, 0.3), (1.0, 0.1), (0.01, 0.01)])
def test_outliers_and_small_changes_are_dropped(n: int, density: float, gamma: float) -> None:
    delta = torch.randn(n, generator=torch.Generator().manual_seed(n)).round(decimals=1)  # many ties
    expected = slow_band(delta.tolist(), density, gamma)
    assert sparsify.drop_outliers(delta.clone(), density, gamma).tolist() == pytest.approx(expected)
    rows = torch.stack([delta, delta.flip(0)])
    by_row = sparsify.drop_outliers(rows.clone(), density, gamma, by_row=True)
    assert by_row[0].tolist() == pytest.approx(expected)
    assert by_row[1].tolist() == pytest.approx(slow_band(rows[1].tolist(), density, gamma))


def test_without_outliers_to_drop_a_band_is_a_trim_by_magnitude() -> None:
    delta = torch.randn(30, 30)
    trimmed = sparsify.keep_largest(delta.clone(), sparsify.trim(delta, 0.3))
    assert torch.equal(sparsify.drop_outliers(delta.clone(), 0.3, 0.0), trimmed)


def test_a_small_tensor_is_not_zeroed_by_a_share_of_outliers_below_one_element() -> None:
    assert sparsify.drop_outliers(torch.ones(32), 0.5, 0.01).count_nonzero() == 16


@pytest.mark.parametrize("levels", [0, 3, 1000])
def test_a_threshold_of_many_elements_is_found_from_a_sample(levels: int) -> None:
    magnitudes = torch.randn(150_000, generator=torch.Generator().manual_seed(0)).abs()
    magnitudes[::2] *= 50.0  # what a sample of every second element is misled by
    if levels:
        magnitudes = magnitudes.mul(levels).round().div(levels)
    order = sorted(range(len(magnitudes)), key=lambda i: (-float(magnitudes[i]), i))
    for k in (1, 2, 1000, 75_000, 75_001, 149_999):
        last = order[k - 1]
        found = trim_to(magnitudes, k)
        assert found.magnitude == magnitudes[last]
        assert sparsify.kept_mask(magnitudes, found).sum() == k
        assert found.last == last


def test_sums_do_not_depend_on_the_number_of_threads() -> None:
    values = torch.randn(300_000, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    try:
        sums = set()
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            sums.add((sparsify.l1_norm(values), sparsify.ordered_sum(values, torch.square)))
    finally:
        torch.set_num_threads(threads)
    assert len(sums) == 1
    assert sums.pop()[0] == pytest.approx(float(values.double().abs().sum()), rel=1e-12)
