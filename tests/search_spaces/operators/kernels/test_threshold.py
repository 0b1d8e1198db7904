from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.operators.kernels.threshold import below, trim_of, trim_to, trim_within
from tests.search_spaces.operators.slow_forms import kept_mask


@given(n=st.integers(1, 300), share=st.floats(0, 1), levels=st.sampled_from([1, 2, 7, 10**6]), seed=st.integers(0, 99))
def test_exactly_k_are_kept_and_of_equals_the_first(n: int, share: float, levels: int, seed: int) -> None:
    magnitudes = torch.randint(0, levels, (n,), generator=torch.Generator().manual_seed(seed)).float()
    k = int(share * n)
    order = sorted(range(n), key=lambda i: (-float(magnitudes[i]), i))
    kept = kept_mask(magnitudes, trim_to(magnitudes, k))
    assert kept.nonzero().flatten().tolist() == sorted(order[:k])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("k", [1, 70_000, 600_000, 1_199_999])
def test_equals_are_counted_over_many_blocks(k: int, threads: int) -> None:
    magnitudes = torch.ones(1_200_000)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert trim_to(magnitudes, k) == (1.0, k - 1)
    finally:
        torch.set_num_threads(before)


def test_magnitudes_may_be_computed_a_part_at_a_time() -> None:
    values = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    assert trim_of(lambda part: values[part].abs(), 200_000, 5000) == trim_to(values.abs(), 5000)


def test_a_search_between_wrong_bounds_finds_nothing() -> None:
    magnitudes = torch.arange(10.0)
    assert trim_within(magnitudes.__getitem__, 10, 3, (2.0, 5.0)) is None
    assert trim_within(magnitudes.__getitem__, 10, 3, (7.0, 7.0)) == (7.0, 7)


@pytest.mark.parametrize("n", [5, 200_000])
def test_what_is_not_a_number_is_not_lost(n: int) -> None:
    assert trim_to(torch.full((n,), math.nan), 2) == (-1.0, -1)


def test_what_equals_a_magnitude_is_above_the_one_below() -> None:
    assert torch.tensor(1.0) > below(1.0) == float(torch.tensor(1.0).nextafter(torch.tensor(0.0)))
    assert below(0.0) == -1.0
