from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from search_spaces.errors import SpaceError
from search_spaces.recipes.rule import Parameter, Rule
from tests.search_spaces.operators.merging import merge, random_tensors, rule_of

SHAPE = (6, 5)


def shares(rule: Rule, **place: object) -> list[float]:
    """What each parent contributes, read off from one-hot parents."""
    n = len(rule.inputs)
    merged = merge(rule, list(torch.eye(n)), None, **place)  # type: ignore[arg-type]
    return [float(share) for share in merged]


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


def test_model_interpolation_returns_either_end_bit_for_bit_and_extrapolates() -> None:
    a, b = random_tensors(2, SHAPE)
    assert torch.equal(merge(rule_of("model_interpolation", {}, {}, t=0.0), [a, b], None), a)
    assert torch.equal(merge(rule_of("model_interpolation", {}, {}, t=1.0), [a, b], None), b)
    assert shares(rule_of("model_interpolation", {}, {}, t=1.25)) == [-0.25, 1.25]


def test_bcwi_gives_the_old_model_its_share_and_the_new_ones_the_rest() -> None:
    assert shares(rule_of("bcwi", {}, {}, {}, alpha=0.4)) == pytest.approx([0.4, 0.3, 0.3])
    assert shares(rule_of("bcwi", {}, {}, alpha=1.0)) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("metrics", "choice", "expected"),
    [
        ([2.0, 1.0, 0.5], {"power": 0.0}, [1 / 3, 1 / 3, 1 / 3]),
        ([2.0, 1.0, 0.5], {"power": 1.0}, [1 / 7, 2 / 7, 4 / 7]),
        ([2.0, 1.0, 0.5], {"power": 2.0, "window": 2}, [0.0, 1 / 5, 4 / 5]),
        ([0.0, 100.0, 300.0], {"metric_is": "step"}, [0.0, 0.25, 0.75]),
        ([0.0, 100.0], {"metric_is": "step", "power": 0.0}, [0.0, 1.0]),
        ([2e-5, 1e-5], {"power": 200.0}, [2.0**-200, 1.0]),
        ([1.0, 3.0], {"transform": "softmax", "power": 0.5}, [math.e / (math.e + 1), 1 / (math.e + 1)]),
    ],
)
def test_mwa_weights_checkpoints_by_their_metric(
    metrics: list[float], choice: dict[str, Parameter], expected: list[float]
) -> None:
    found = shares(rule_of("mwa", *({"metric": m} for m in metrics), **choice))
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("metrics", "choice", "message"),
    [
        ([1.0, 0.0], {}, "metric: expected positive losses"),
        ([1.0, -1.0], {"metric_is": "step"}, "metric: expected steps of 0 or more"),
        ([0.0, 0.0], {"metric_is": "step"}, "metric: expected a step above 0"),
    ],
)
def test_metrics_that_make_no_sense_are_refused(
    metrics: list[float], choice: dict[str, Parameter], message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        shares(rule_of("mwa", *({"metric": m} for m in metrics), **choice))


DECAYS = {
    "linear": lambda x: 1 - x,
    "sqrt": lambda x: 1 - math.sqrt(x),
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    "power": lambda x: 1 - x**3,
}


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_wsm_multiplies_each_update_by_what_the_decay_leaves_of_it(decay: str, n: int) -> None:
    found = shares(rule_of("wsm", *[{}] * n, decay=decay, exponent=3.0))
    assert sum(found) == pytest.approx(1.0)
    # An update between checkpoints i - 1 and i is in every checkpoint from i on.
    kept = [sum(found[i:]) for i in range(1, n)]
    assert kept == pytest.approx([DECAYS[decay](i / n) for i in range(1, n)], abs=1e-6)
    assert min(found) >= 0.0


def test_wsm_with_a_linear_decay_is_the_mean_of_the_window() -> None:
    assert shares(rule_of("wsm", {}, {}, {}, {})) == pytest.approx([0.25] * 4)
    assert shares(rule_of("wsm", {}, {}, {}, {}, window=2)) == pytest.approx([0.0, 0.0, 0.5, 0.5])
    assert shares(rule_of("wsm", {}, {}, window=9)) == pytest.approx([0.5, 0.5])


def inner(n_layers: int, **choice: Parameter) -> Sequence[float]:
    rule = rule_of("layer_swap", {}, {}, **choice)
    return [shares(rule, layer=(layer, n_layers))[1] for layer in range(n_layers)]


def test_layer_swap_has_the_papers_setting_for_32_layers() -> None:
    assert inner(32) == [0.0] * 5 + [0.5] + [1.0] * 23 + [0.5] + [0.0] * 2


def test_a_swap_that_does_not_fit_gives_up_its_transitions_first_then_its_top() -> None:
    assert inner(4, bottom=2, top=1, bottom_transition=4, top_transition=4) == [0.0, 0.0, 0.5, 0.0]
    assert inner(4, bottom=3, top=3, bottom_transition=0, top_transition=0) == [0.0] * 4
    assert inner(3, bottom=0, top=0, bottom_transition=1, top_transition=1, transition_weight=0.25) == [0.25, 1.0, 0.25]


@pytest.mark.parametrize(("source", "share"), [("outer", 0.0), ("inner", 1.0), ("mean", 0.5)])
def test_what_lies_outside_the_layers_follows_the_edge_source(source: str, share: float) -> None:
    assert shares(rule_of("layer_swap", {}, {}, edge_source=source), layer=None)[1] == share


def test_a_layer_that_is_not_mixed_is_a_copy() -> None:
    a, b = random_tensors(2, SHAPE)
    assert torch.equal(merge(rule_of("layer_swap", {}, {}), [a, b], None, layer=(0, 32)), a)
    assert torch.equal(merge(rule_of("layer_swap", {}, {}), [a, b], None, layer=(12, 32)), b)
