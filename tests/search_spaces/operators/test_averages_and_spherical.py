from __future__ import annotations

import math

import pytest
import torch

from search_spaces.errors import SpaceError
from tests.search_spaces.operators.merging import merge, random_tensors, rule_of

SHAPE = (20, 30)


@pytest.mark.parametrize("hot", [0, 1, 2])
@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_linear_with_one_weight_returns_that_parent_bit_for_bit(hot: int, weight: float) -> None:
    tensors = random_tensors(3, SHAPE)
    tensors[hot][0, :2] = torch.tensor([-0.0, 1e-42])
    merged = merge(rule_of("linear", *({"weight": weight if i == hot else 0.0} for i in range(3))), tensors, None)
    assert torch.equal(merged.view(torch.int32), tensors[hot].view(torch.int32))


def test_linear_is_the_weighted_mean_in_float64() -> None:
    tensors = random_tensors(3, SHAPE)
    merged = merge(rule_of("linear", {"weight": 0.5}, {"weight": -0.2}, {"weight": 0.9}), tensors, None)
    a, b, c = (tensor.double() for tensor in tensors)
    torch.testing.assert_close(merged.double(), (0.5 * a - 0.2 * b + 0.9 * c) / 1.2, rtol=0, atol=1e-6)


def test_linear_without_normalize_is_the_weighted_sum() -> None:
    a, b = random_tensors(2, SHAPE)
    merged = merge(rule_of("linear", {"weight": 0.5}, {"weight": 0.7}, normalize=False), [a, b], None)
    torch.testing.assert_close(merged, 0.5 * a + 0.7 * b)


def test_linear_refuses_weights_that_cancel() -> None:
    with pytest.raises(SpaceError, match=r"sum is not 0.*found \[1.0, -1.0\]"):
        merge(rule_of("linear", {"weight": 1.0}, {"weight": -1.0}), random_tensors(2, SHAPE), None)


def test_linear_adds_weights_that_cancel_when_not_normalised() -> None:
    a, b = random_tensors(2, SHAPE)
    merged = merge(rule_of("linear", {"weight": 1.0}, {"weight": -1.0}, normalize=False), [a, b], None)
    torch.testing.assert_close(merged, a - b)


def test_passthrough_copies_bit_for_bit_and_scales() -> None:
    (tensor,) = random_tensors(1, SHAPE)
    assert torch.equal(merge(rule_of("passthrough", {}), [tensor], None), tensor)
    assert torch.equal(merge(rule_of("passthrough", {"scale": 0.5}), [tensor], None), tensor / 2)


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
