from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.recipes.rule import Parameter
from tests.search_spaces.operators.merging import merge, random_tensors, rule_of

SHAPE = (6, 5)


def inputs(*weights: float) -> list[dict[str, Parameter]]:
    return [{"weight": weight} for weight in weights]


def plain_slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    a, b = a.double(), b.double()
    angle = torch.acos((a * b).sum() / (a.norm() * b.norm()))
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


@pytest.mark.parametrize("t", [0.0, 1.0])
def test_slerp_at_its_ends_returns_a_parent_bit_for_bit(t: float) -> None:
    tensors = random_tensors(2, SHAPE)
    assert torch.equal(merge(rule_of("slerp", {}, {}, t=t), tensors, None), tensors[int(t)])


def test_slerp_halfway_between_orthogonal_unit_vectors_bisects_them() -> None:
    a, b = torch.eye(2)
    merged = merge(rule_of("slerp", {}, {}, t=0.5), [a, b], None)
    torch.testing.assert_close(merged, (a + b) / math.sqrt(2))


@pytest.mark.parametrize("t", [0.1, 0.5, 0.8])
def test_slerp_of_unit_vectors_moves_at_constant_angular_speed(t: float) -> None:
    a, b = (tensor / tensor.norm() for tensor in random_tensors(2, SHAPE))
    merged = merge(rule_of("slerp", {}, {}, t=t), [a, b], None)
    angle = torch.acos((a * b).sum())
    assert merged.norm() == pytest.approx(1.0, abs=1e-6)
    assert torch.acos((a * merged).sum()) == pytest.approx(float(t * angle), abs=1e-5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_slerp_of_nearly_parallel_vectors_is_linear(sign: float) -> None:
    a, noise = random_tensors(2, SHAPE)
    b = sign * a + 0.01 * noise
    merged = merge(rule_of("slerp", {}, {}, t=0.3), [a, b], None)
    torch.testing.assert_close(merged, 0.7 * a + 0.3 * b)


def test_slerp_with_a_zero_vector_is_linear() -> None:
    (a,) = random_tensors(1, SHAPE)
    merged = merge(rule_of("slerp", {}, {}, t=0.5), [a, torch.zeros(SHAPE)], None)
    torch.testing.assert_close(merged, a / 2)


def test_slerp_from_the_other_side_is_the_same() -> None:
    a, b = random_tensors(2, SHAPE)
    there = merge(rule_of("slerp", {}, {}, t=0.25), [a, b], None)
    torch.testing.assert_close(merge(rule_of("slerp", {}, {}, t=0.75), [b, a], None), there)


def test_nuslerp_is_slerp_at_the_second_weights_share() -> None:
    a, b = random_tensors(2, SHAPE)
    merged = merge(rule_of("nuslerp", *inputs(0.3, 0.9)), [a, b], None)
    torch.testing.assert_close(merged.double(), plain_slerp(a, b, 0.75), rtol=0, atol=1e-6)


def test_nuslerp_of_rows_or_columns_interpolates_each_apart() -> None:
    a, b = random_tensors(2, SHAPE)
    by_row = merge(rule_of("nuslerp", *inputs(1.0, 1.0), nuslerp_flatten=False), [a, b], None)
    rows = torch.stack([plain_slerp(x, y, 0.5) for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(by_row.double(), rows, rtol=0, atol=1e-6)
    rule = rule_of("nuslerp", *inputs(1.0, 1.0), nuslerp_flatten=False, nuslerp_row_wise=True)
    turned = merge(rule, [a.T.contiguous(), b.T.contiguous()], None)
    torch.testing.assert_close(turned, by_row.T)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_nuslerp_of_parallel_and_antiparallel_vectors_is_the_line(sign: float) -> None:
    (a,) = random_tensors(1, SHAPE)
    merged = merge(rule_of("nuslerp", *inputs(0.75, 0.25)), [a, sign * a], None)
    torch.testing.assert_close(merged, (0.75 + sign * 0.25) * a, rtol=1e-5, atol=1e-6)


def test_nuslerp_of_nearly_parallel_vectors_is_as_exact_as_the_line() -> None:
    a, noise = random_tensors(2, SHAPE)
    b = a + 1e-3 * noise
    merged = merge(rule_of("nuslerp", *inputs(1.0, 1.0)), [a, b], None)
    torch.testing.assert_close(merged, (a + b) / 2, rtol=0, atol=1e-6)


def test_weights_of_nuslerp_that_cancel_mean_the_middle() -> None:
    a, b = random_tensors(2, SHAPE)
    merged = merge(rule_of("nuslerp", *inputs(1.0, -1.0)), [a, b], None)
    torch.testing.assert_close(merged.double(), plain_slerp(a, b, 0.5), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["nuslerp", "multislerp", "karcher"])
def test_on_task_vectors_the_base_is_the_origin(name: str) -> None:
    base, a, b = random_tensors(3, SHAPE)
    rule = rule_of(name, *inputs(0.3, 0.7), deltas=True)
    expected = base + merge(rule_of(name, *inputs(0.3, 0.7)), [a - base, b - base], None)
    torch.testing.assert_close(merge(rule, [a, b], base), expected)


def long_multislerp(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The mean in the tangent space at the mean direction, as it is published."""
    flat = [tensor.flatten().double() for tensor in tensors]
    units = [v / v.norm() for v in flat]
    mean = torch.stack([w * u for w, u in zip(weights, units, strict=True)]).sum(0)
    mean = mean / mean.norm()
    tangent = torch.stack([w * (u - (u @ mean) * mean) for w, u in zip(weights, units, strict=True)]).sum(0)
    length = float(tangent.norm())
    point = mean * math.cos(length) + (tangent * math.sin(length) / length if length > 1e-12 else 0.0)
    return (point * sum(w * float(v.norm()) for w, v in zip(weights, flat, strict=True))).view(tensors[0].shape)


@given(raw=st.lists(st.floats(0.05, 2.0), min_size=3, max_size=3), seed=st.integers(0, 20))
@settings(deadline=None, max_examples=30)
def test_multislerp_equals_its_longer_published_form(raw: list[float], seed: int) -> None:
    tensors = random_tensors(3, SHAPE, seed=seed)
    merged = merge(rule_of("multislerp", *inputs(*raw)), tensors, None)
    expected = long_multislerp(tensors, [weight / sum(raw) for weight in raw])
    torch.testing.assert_close(merged.double(), expected, rtol=1e-4, atol=1e-5)


def test_directions_of_multislerp_that_cancel_are_averaged_linearly() -> None:
    (a,) = random_tensors(1, SHAPE)
    merged = merge(rule_of("multislerp", *inputs(1.0, 1.0)), [a, -3.0 * a], None)
    torch.testing.assert_close(merged, -a)


@pytest.mark.parametrize("name", ["multislerp", "karcher"])
def test_weights_whose_sum_is_zero_are_refused(name: str) -> None:
    weights = (1.0, -1.0) if name == "multislerp" else (0.0, 0.0)
    with pytest.raises(SpaceError, match="weight: expected weights whose sum is not 0"):
        merge(rule_of(name, *inputs(*weights)), random_tensors(2, SHAPE), None)


def test_the_karcher_mean_is_where_the_logarithms_balance() -> None:
    tensors, weights = random_tensors(4, SHAPE), [0.5, 1.0, 2.0, 0.25]
    merged = merge(rule_of("karcher", *inputs(*weights), max_iter=100, tol=1e-7), tensors, None).flatten().double()
    point = merged / merged.norm()
    pull = torch.zeros_like(point)
    for tensor, weight in zip(tensors, weights, strict=True):
        unit = tensor.flatten().double() / tensor.double().norm()
        cosine = float(unit @ point)
        pull += weight * math.acos(cosine) / math.sqrt(1 - cosine**2) * (unit - cosine * point)
    assert float(pull.norm()) < 1e-5
    norms = [float(tensor.double().norm()) for tensor in tensors]
    expected = sum(w * n for w, n in zip(weights, norms, strict=True)) / sum(weights)
    assert float(merged.norm()) == pytest.approx(expected, rel=1e-5)


def test_two_equal_weights_of_karcher_are_the_middle_of_the_arc() -> None:
    a, b = random_tensors(2, SHAPE)
    a, b = a / a.norm(), b / b.norm()
    merged = merge(rule_of("karcher", {}, {}), [a, b], None)
    torch.testing.assert_close(merged.double(), plain_slerp(a, b, 0.5), rtol=0, atol=1e-6)


def test_karcher_of_opposite_vectors_stays_finite_and_counts_zero_vectors_in_its_norm_only() -> None:
    a, b = random_tensors(2, SHAPE)
    assert merge(rule_of("karcher", {}, {}), [a, -a], None).isfinite().all()
    merged = merge(rule_of("karcher", {}, {}), [a, torch.zeros(SHAPE)], None)
    torch.testing.assert_close(merged, a / 2)
    tiny = merge(rule_of("karcher", {}, {}), [1e-6 * a, 1e-6 * b], None)
    torch.testing.assert_close(1e6 * tiny, merge(rule_of("karcher", {}, {}), [a, b], None), rtol=1e-4, atol=1e-5)
