from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.recipes.rule import Parameter
from tests.search_spaces.operators.merging import merge, rule_of
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


@pytest.mark.parametrize("shape", [(9, 14), (14, 9)])
@pytest.mark.parametrize("iterations", [1, 2, 7])
def test_lore_is_the_descent(shape: tuple[int, int], iterations: int) -> None:
    parents, weights = random_deltas(3, shape), (0.5, 1.5, -0.7)
    anchor, deltas = plain.lore([parent.numpy() for parent in parents], 0.2, iterations)
    expected = anchor + 0.8 * sum(weight * delta for weight, delta in zip(weights, deltas, strict=True))
    inputs: list[dict[str, Parameter]] = [{"weight": weight} for weight in weights]
    rule = rule_of("lore", *inputs, kappa=0.2, iterations=iterations, lambda_=0.8)
    torch.testing.assert_close(merge(rule, parents, None), torch.from_numpy(expected), rtol=0, atol=1e-10)


def test_more_steps_than_the_descent_needs_change_nothing() -> None:
    parents = random_deltas(3, (9, 14))
    merged = [merge(rule_of("lore", {}, {}, {}, kappa=0.3, iterations=n), parents, None) for n in (300, 3000)]
    torch.testing.assert_close(*merged, rtol=0, atol=1e-5)


def test_lore_recovers_a_common_anchor_and_low_rank_differences() -> None:
    (anchor,) = random_deltas(1, (30, 40), seed=3)
    parents = [anchor + delta for delta in random_deltas(4, (30, 40), rank=1)]
    rule = rule_of("lore", {}, {}, {}, {}, kappa=0.05, iterations=300, lambda_=1e-9)
    found = torch.linalg.matrix_norm(merge(rule, parents, None) - anchor)
    mean = torch.linalg.matrix_norm(torch.stack(parents).mean(0) - anchor)
    assert found < 0.5 * mean


def test_a_large_threshold_leaves_the_mean_of_the_parents() -> None:
    parents = random_deltas(3, (9, 14))
    merged = merge(rule_of("lore", {}, {}, {}, kappa=2.0), parents, None)
    torch.testing.assert_close(merged, torch.stack(parents).mean(0))


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_a_parent_alone_comes_back(weight: float) -> None:
    parents = random_deltas(2, (9, 14))
    assert torch.equal(merge(rule_of("lore", {"weight": weight}, {"weight": 0.0}), parents, None), parents[0])


def test_without_any_weight_lore_is_the_mean_anchor() -> None:
    parents = random_deltas(2, (9, 14))
    merged = merge(rule_of("lore", {"weight": 0.0}, {"weight": 0.0}, kappa=2.0), parents, None)
    torch.testing.assert_close(merged, torch.stack(parents).mean(0))


def test_identical_parents_come_back_bit_for_bit() -> None:
    parent = random_deltas(1, (9, 14))[0].float()
    assert torch.equal(merge(rule_of("lore", {}, {}, {}), [parent] * 3, None), parent)
