from __future__ import annotations

import pytest
import torch

from search_spaces.recipes.recipe import Parameter
from tests.search_spaces.operators.merging import merge, rule_of
from tests.search_spaces.operators.spectral import plain
from tests.search_spaces.operators.spectral.merged import random_deltas


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
