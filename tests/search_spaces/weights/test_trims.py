from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.operators.sparsify import trim
from search_spaces.weights.trims import TrimCache


@given(n=st.integers(1, 200), step=st.integers(1, 256), levels=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_a_remembered_threshold_is_the_computed_one(n: int, step: int, levels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    parent = torch.randint(-levels, levels + 1, (n,), generator=generator).float()  # few levels: many ties
    base = torch.zeros(n)
    cache = TrimCache()
    for _ in range(2):
        assert cache.trim(("parent", "tensor"), parent, base, step / 256) == trim(parent - base, step / 256)


def test_a_density_between_the_steps_is_computed_afresh() -> None:
    parent, base = torch.arange(100.0), torch.zeros(100)
    assert TrimCache().trim(("p",), parent, base, 0.333) == trim(parent - base, 0.333)


def test_one_pass_serves_every_density() -> None:
    parent, cache = torch.randn(1000, generator=torch.Generator().manual_seed(0)), TrimCache()
    expected = trim(parent, 0.25)
    cache.trim(("p",), parent, torch.zeros(1000), 0.5)
    # The same key promises the same task vector, so these zeros are not looked at.
    assert cache.trim(("p",), torch.zeros(1000), torch.zeros(1000), 0.25) == expected


def test_the_operands_are_not_changed() -> None:
    parent, base = torch.tensor([3.0, -1.0, 2.0]), torch.zeros(3)
    TrimCache().trim(("p",), parent, base, 0.5)
    assert parent.tolist() == [3.0, -1.0, 2.0]


def test_trim_itself_is_checked_by_hand() -> None:
    kept = TrimCache().trim(("p",), torch.tensor([3.0, -1.0, 1.0, 0.5]), torch.zeros(4), 0.5)
    assert (kept.magnitude, kept.n_ties) == pytest.approx((1.0, 1))
