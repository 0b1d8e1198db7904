from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search_spaces.operators.spectral import plain
from tests.search_spaces.operators.spectral.merged import nuclear, random_deltas, tau

SHAPES = [(9, 14), (14, 9), (10, 10)]


@pytest.mark.parametrize("shape", SHAPES)
def test_star_is_the_formula(shape: tuple[int, int]) -> None:
    deltas, weights, etas = random_deltas(3, shape), (0.5, 1.5, -0.7), (20.0, 40.0, 100.0)
    parts = zip(deltas, weights, etas, strict=True)
    expected = sum(weight * plain.star(delta.numpy(), eta) for delta, weight, eta in parts) / 3
    merged = tau("star", deltas, *[{"weight": w, "eta": e} for w, e in zip(weights, etas, strict=True)])
    torch.testing.assert_close(merged, torch.from_numpy(expected), rtol=0, atol=1e-10)


@given(o=st.integers(2, 12), n=st.integers(2, 12), eta=st.floats(0.1, 100.0), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_star_keeps_the_nuclear_norm(o: int, n: int, eta: float, seed: int) -> None:
    (delta,) = random_deltas(1, (o, n), seed=seed)
    assert nuclear(tau("star", [delta], {"eta": eta})) == pytest.approx(nuclear(delta), rel=1e-3)


def test_star_at_all_of_the_norm_is_the_task_vector_and_at_none_its_leading_component() -> None:
    (delta,) = random_deltas(1, (8, 12))
    assert torch.equal(tau("star", [delta], {"eta": 100.0}), delta)
    assert int(torch.linalg.matrix_rank(tau("star", [delta], {"eta": 1e-9}))) == 1


def test_star_keeps_exactly_the_components_that_reach_its_share() -> None:
    u, _, vh = torch.linalg.svd(random_deltas(1, (5, 6))[0], full_matrices=False)
    delta = (u * torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0])) @ vh
    for eta, rank in ((39.0, 1), (41.0, 2), (69.0, 2), (71.0, 3), (99.0, 4)):
        assert int(torch.linalg.matrix_rank(tau("star", [delta], {"eta": eta}), rtol=1e-9)) == rank


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("skip_share", [0.0, 0.3])
def test_adarank_is_the_sum_of_the_chosen_components(shape: tuple[int, int], skip_share: float) -> None:
    deltas, weights, shares = random_deltas(3, shape), (0.5, 1.5, -0.7), (0.25, 0.5, 1.0)
    r = min(shape)
    skipped = int(skip_share * r)
    expected = sum(
        weight * plain.truncated(delta.numpy(), skipped, max(skipped + 1, int(share * r)))
        for delta, weight, share in zip(deltas, weights, shares, strict=True)
    )
    inputs = [{"weight": w, "rank_share": share} for w, share in zip(weights, shares, strict=True)]
    merged = tau("adarank", deltas, *inputs, skip_share=skip_share)
    torch.testing.assert_close(merged, torch.as_tensor(expected), rtol=0, atol=1e-10)


def test_adarank_of_all_components_is_task_arithmetic() -> None:
    deltas = random_deltas(2, (8, 12))
    assert torch.equal(tau("adarank", deltas, {"rank_share": 1.0}, {"rank_share": 1.0}), deltas[0] + deltas[1])
