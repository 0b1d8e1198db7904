from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from search_spaces.operators import sparsify
from search_spaces.operators.operator import Operands, Trim
from search_spaces.operators.registry import check_rule, operator_named
from search_spaces.recipe import Parameter
from tests.search_spaces.operators.merging import merge, random_tensors, rule_of

SHAPE = (60, 50)
TASK_OPERATORS = ["task_arithmetic", "ties", "dare_linear", "dare_ties"]


def parents(n: int, *, scale: float = 0.01) -> tuple[list[Tensor], Tensor]:
    base, *noise = random_tensors(n + 1, SHAPE)
    return [base + scale * delta for delta in noise], base


def slow_ties(
    tensors: Sequence[Tensor], base: Tensor, weights: Sequence[float], density: float, *, normalize: bool
) -> Tensor:
    """Algorithm 1 of the paper with weights, element by element in Python and float64."""
    deltas = []
    for tensor in tensors:
        delta = (tensor - base).flatten().double()
        order = sorted(range(delta.numel()), key=lambda i: (-abs(float(delta[i])), i))
        kept = torch.zeros_like(delta)
        k = int(density * delta.numel() + 1e-9)
        kept[order[:k]] = delta[order[:k]]
        deltas.append(kept.tolist())
    merged = []
    for column in zip(*deltas, strict=True):
        votes = [w * x for w, x in zip(weights, column, strict=True)]
        sign = 1 if sum(votes) >= 0 else -1
        agree = [(v, w) for v, w in zip(votes, weights, strict=True) if v * sign > 0]
        mass = sum(w for _, w in agree) if normalize else 1.0
        merged.append(sum(v for v, _ in agree) / mass if agree else 0.0)
    return base + torch.tensor(merged).view(base.shape)


@pytest.mark.parametrize("operator", TASK_OPERATORS)
def test_lambda_0_returns_the_base_bit_for_bit(operator: str) -> None:
    tensors, base = parents(2)
    base[0, 0] = -0.0
    merged = merge(rule_of(operator, {"weight": 1.0}, {"weight": 0.5}, lambda_=0.0), tensors, base)
    assert torch.equal(merged.view(torch.int32), base.view(torch.int32))


def test_task_arithmetic_adds_weighted_task_vectors() -> None:
    (a, b), base = parents(2)
    merged = merge(rule_of("task_arithmetic", {"weight": 0.5}, {"weight": -0.3}, lambda_=0.7), [a, b], base)
    torch.testing.assert_close(merged, base + 0.7 * (0.5 * (a - base) - 0.3 * (b - base)))


def test_task_arithmetic_with_normalize_divides_by_the_weights() -> None:
    (a, b), base = parents(2)
    merged = merge(rule_of("task_arithmetic", {"weight": 2.0}, {"weight": 2.0}, normalize=True), [a, b], base)
    torch.testing.assert_close(merged, (a + b) / 2)


def test_task_arithmetic_does_not_divide_by_weights_that_cancel() -> None:
    (a, b), base = parents(2)
    merged = merge(rule_of("task_arithmetic", {"weight": 1.0}, {"weight": -1.0}, normalize=True), [a, b], base)
    torch.testing.assert_close(merged, base + a - b)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("density", [0.1, 0.35, 1.0])
def test_ties_agrees_with_the_papers_algorithm(density: float, normalize: bool) -> None:
    tensors, base = parents(4)
    weights = [0.5, 1.0, 0.25, 0.8]
    rule = rule_of("ties", *({"weight": w, "density": density} for w in weights), normalize=normalize)
    expected = slow_ties(tensors, base, weights, density, normalize=normalize)
    torch.testing.assert_close(merge(rule, tensors, base), expected.float(), rtol=0, atol=1e-6)


def test_ties_of_one_parent_at_full_density_is_that_parent() -> None:
    (a,), base = parents(1)
    torch.testing.assert_close(merge(rule_of("ties", {"weight": 0.7}), [a], base), a, rtol=0, atol=1e-6)


def test_ties_of_opposite_equal_task_vectors_elects_plus() -> None:
    base, delta = torch.zeros(4), torch.tensor([1.0, -2.0, 3.0, 0.0])
    merged = merge(rule_of("ties", {"weight": 1.0}, {"weight": 1.0}), [delta, -delta], base)
    assert merged.tolist() == [1.0, 2.0, 3.0, 0.0]


def test_ties_with_weights_that_nearly_cancel_stays_of_the_order_of_its_task_vectors() -> None:
    delta = torch.tensor([1.0, -1.0])
    rule = rule_of("ties", {"weight": 1.0}, {"weight": -0.9999})
    assert merge(rule, [delta, -delta], torch.zeros(2)).abs().max() <= 1.0  # a plain division would give 20,000


def test_ties_uses_the_thresholds_it_is_given() -> None:
    tensors, base = parents(2)
    rule = check_rule(rule_of("ties", {"weight": 1.0, "density": 0.2}, {"weight": 1.0, "density": 0.5}))
    asked: list[tuple[int, float]] = []

    def trims(i: int, density: float) -> Trim:
        asked.append((i, density))
        return sparsify.trim(tensors[i] - base, density)

    inputs = tuple(i.parameters for i in rule.inputs)
    operands = Operands(tuple(tensors), base, inputs, rule.parameters, lambda i: torch.Generator(), trims)
    assert torch.equal(operator_named("ties").merge(operands), merge(rule, tensors, base))
    assert asked == [(0, 0.2), (1, 0.5)]


def test_dare_is_unbiased() -> None:
    (a,), base = parents(1, scale=1.0)
    rule = rule_of("dare_linear", {"weight": 1.0, "density": 0.3})
    n = 2000
    mean = sum(
        (merge(rule, [a], base, seed=seed).double() for seed in range(n)), torch.zeros(SHAPE, dtype=torch.float64)
    )
    # Standard error of an element: |δ|·sqrt((1 - d)/(d·n)); six of them over 3,000 elements is never.
    bound = 6 * (a - base).abs() * (0.7 / 0.3 / n) ** 0.5 + 1e-5
    assert bool(((mean / n - a).abs() < bound).all())


def test_dare_masks_are_nested_over_densities() -> None:
    (a,), base = parents(1)
    few, many = (merge(rule_of("dare_linear", {"weight": 1.0, "density": d}), [a], base) != base for d in (0.2, 0.7))
    assert bool((few <= many).all())
    assert int(few.sum()) < int(many.sum()) < few.numel()


@pytest.mark.parametrize(("rescale", "gain"), [("density", 2.0), ("none", 1.0)])
def test_dare_multiplies_survivors_by_its_gain(rescale: str, gain: float) -> None:
    (a,), base = parents(1)
    merged = merge(rule_of("dare_linear", {"weight": 1.0, "density": 0.5}, rescale=rescale), [a], base)
    survivors = merged != base
    torch.testing.assert_close((merged - base)[survivors], gain * (a - base)[survivors], rtol=1e-3, atol=1e-6)


def test_dare_can_restore_the_l1_norm() -> None:
    (a,), base = parents(1)
    merged = merge(rule_of("dare_linear", {"weight": 1.0, "density": 0.1}, rescale="l1"), [a], base)
    assert float((merged - base).abs().sum()) == pytest.approx(float((a - base).abs().sum()), rel=1e-4)


@pytest.mark.parametrize("operator", ["dare_linear", "dare_ties"])
@pytest.mark.parametrize("shape", [(1023,), (1, 5)])
def test_dare_keeps_small_tensors_whole(operator: str, shape: tuple[int, ...]) -> None:
    base, delta = random_tensors(2, shape)
    rule = rule_of(operator, {"weight": 1.0, "density": 0.1})
    torch.testing.assert_close(merge(rule, [base + delta], base), base + delta)


def test_parents_of_one_dare_merge_have_masks_of_their_own() -> None:
    (a,), base = parents(1)
    half: dict[str, Parameter] = {"weight": 1.0, "density": 0.5}
    kept = merge(rule_of("dare_linear", half, half, rescale="none"), [a, a], base) - base
    shares = (kept / (a - base)).round()
    assert {float(share) for share in shares.unique()} == {0.0, 1.0, 2.0}  # neither, one, both
