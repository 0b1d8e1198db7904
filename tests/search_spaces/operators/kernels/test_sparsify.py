"""Which elements of one task vector survive: told by the merge of one parent over a base of zeros."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.operators.kernels import sparsify
from search_spaces.operators.kernels.threshold import trim_to
from search_spaces.recipes.rule import Parameter
from tests.search_spaces.operators.merging import merge, rule_of
from tests.search_spaces.operators.slow_forms import keep_probabilities, kept_mask


def left(operator: str, delta: Tensor, own: dict[str, Parameter] | None = None, **values: Parameter) -> list[float]:
    rule = rule_of(operator, {"weight": 1.0, **values}, **(own or {}))
    return merge(rule, [delta], torch.zeros_like(delta)).flatten().tolist()


def band(values: list[float], density: float, gamma: float) -> list[float]:
    """By sorting: the `gamma` largest go, the next of a share `density` stay; |x| descending, then index ascending."""
    n = len(values)
    order = sorted(range(n), key=lambda i: (-abs(values[i]), i))
    k = max(1, math.floor(density * n + 1e-9))
    top = min(math.floor(gamma * n + 1e-9), n - k)
    return [value if i in order[top : top + k] else 0.0 for i, value in enumerate(values)]


LEVELS = st.lists(st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0]), min_size=1, max_size=60)


@given(values=LEVELS, density=st.floats(0.001, 1.0))
@settings(deadline=None)
def test_trimming_agrees_with_a_stable_sort_even_when_magnitudes_tie(values: list[float], density: float) -> None:
    assert left("ties", torch.tensor(values), density=density) == band(values, density, 0.0)


@given(values=LEVELS, density=st.floats(0.001, 1.0), gamma=st.sampled_from([0.0, 0.01, 0.1, 0.3]))
@settings(deadline=None)
def test_outliers_and_small_changes_are_dropped_from_the_tensor_or_each_row(
    values: list[float], density: float, gamma: float
) -> None:
    expected = band(values, density, gamma)
    assert left("breadcrumbs", torch.tensor(values), density=density, gamma=gamma) == expected
    rows = torch.tensor([values, values[::-1]])
    expected += band(values[::-1], density, gamma)
    assert left("breadcrumbs", rows, {"scope": "row"}, density=density, gamma=gamma) == expected


@given(n=st.integers(1, 200), density=st.sampled_from([1 / 256, 0.1, 0.29, 1 / 3, 0.5, 0.9, 1.0]))
@settings(deadline=None)
def test_the_kept_share_is_the_density_for_every_small_tensor(n: int, density: float) -> None:
    delta = torch.randn(n, generator=torch.Generator().manual_seed(n)).round(decimals=1) + 10.0  # many ties, no zeros
    assert sum(x != 0.0 for x in left("ties", delta, density=density)) == max(1, math.floor(density * n + 1e-9))


def test_the_count_forgives_products_just_below_a_whole_number() -> None:
    assert 0.29 * 100 < 29
    assert sparsify.n_kept(100, 0.29) == 29


def test_a_small_tensor_is_not_zeroed_by_a_share_of_outliers_below_one_element() -> None:
    assert sum(left("breadcrumbs", torch.ones(32), density=0.5, gamma=0.01)) == 16


@given(n=st.integers(1, 200), density=st.floats(0.05, 0.99), epsilon=st.floats(0.0, 0.3), seed=st.integers(0, 99))
@settings(deadline=None)
def test_the_mean_chance_of_being_kept_is_the_density_in_every_row(
    n: int, density: float, epsilon: float, seed: int
) -> None:
    delta = torch.randn(4, n, generator=torch.Generator().manual_seed(seed))
    chances = keep_probabilities(delta, density, epsilon)
    torch.testing.assert_close(chances.mean(dim=1), torch.full((4,), density), rtol=1e-5, atol=1e-6)
    assert bool(((chances > 0.0) & (chances <= 1.0)).all())


def test_the_largest_of_a_row_is_the_likeliest_to_be_kept_and_equals_are_as_likely() -> None:
    chances = keep_probabilities(torch.tensor([[1.0, -3.0, 2.0], [5.0, -5.0, 5.0]]), 0.5, 0.2)
    torch.testing.assert_close(chances, torch.tensor([[0.3, 0.7, 0.5], [0.5, 0.5, 0.5]]))


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
        assert kept_mask(magnitudes, found).sum() == k
        assert found.last == last


def test_sums_do_not_depend_on_the_number_of_threads() -> None:
    values = torch.randn(300_000, generator=torch.Generator().manual_seed(0)).abs()
    threads = torch.get_num_threads()
    try:
        sums = set()
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            sums.add(math.fsum(sparsify.row_sums(values)))
    finally:
        torch.set_num_threads(threads)
    assert len(sums) == 1
    assert sums.pop() == pytest.approx(float(values.double().sum()), rel=1e-12)
