"""What all spectral operators have in common: which tensors they decompose, and what they do with the rest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from search_spaces.operators.catalogue.spectral import SPECTRAL
from search_spaces.operators.registry import Operands, Operator, check_rule
from search_spaces.recipes.rule import Input, Rule
from tests.search_spaces.operators.spectral.merged import random_deltas

WEIGHTS = (0.5, 1.5, -0.75)
SUMS = {"adarank", "rank_scaled"}

each_operator = pytest.mark.parametrize("operator", SPECTRAL, ids=[operator.name for operator in SPECTRAL])
each_task_operator = pytest.mark.parametrize(
    "operator", [o for o in SPECTRAL if o.needs_base], ids=[o.name for o in SPECTRAL if o.needs_base]
)


def no_generator(i: int) -> torch.Generator:
    raise AssertionError("no spectral operator draws random numbers")


def merged(
    operator: Operator,
    tensors: list[Tensor],
    *,
    name: str = "model.layers.1.mlp.up_proj.weight",
    layer: tuple[int, int] | None = (1, 4),
    weights: tuple[float, ...] = WEIGHTS,
    base: Tensor | None = None,
    factors: Callable[..., tuple[Tensor, ...]] | None = None,
) -> Tensor:
    required = {name: 0.5 for name, kind in operator.input_parameters.items() if kind.default is None}
    inputs = tuple(Input(f"p{i}", {"weight": w, **required}) for i, w in zip(range(len(tensors)), weights, strict=True))
    rule = check_rule(Rule(operator.name, inputs, {"lambda": 0.5}))
    origin = torch.zeros_like(tensors[0]) if base is None else base
    return operator.merge(
        Operands(
            tuple(tensors),
            origin,
            tuple(i.parameters for i in rule.inputs),
            rule.parameters,
            no_generator,
            name=name,
            layer=layer,
            factors=factors,
        )
    )


@each_task_operator
@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("model.embed_tokens.weight", None, (12, 8)),
        ("lm_head.weight", None, (12, 8)),
        ("model.norm.weight", None, (8,)),
        ("model.layers.1.input_layernorm.weight", (1, 4), (8,)),
        ("model.layers.1.time_mix", (1, 4), (1, 8)),
        ("model.layers.1.conv.weight", (1, 4), (8, 1, 3)),
        ("model.layers.1.scale", (1, 4), ()),
        ("model.layers.1.empty", (1, 4), (0, 4)),
    ],
)
def test_tables_and_vectors_get_the_mean_or_sum_of_the_task_vectors(
    operator: Operator, name: str, layer: tuple[int, int] | None, shape: tuple[int, ...]
) -> None:
    deltas = random_deltas(3, shape)
    weighted = [weight * delta for weight, delta in zip(WEIGHTS, deltas, strict=True)]
    total = torch.stack(weighted).sum(0)
    expected = 0.5 * (total if operator.name in SUMS else total / 3)
    found = merged(operator, deltas, name=name, layer=layer)
    if operator.name == "opcm":  # a sum at the mean of the norms
        mean_norm = torch.stack([delta.norm() for delta in weighted]).mean()
        expected = 0.5 * total * (mean_norm / total.norm() if total.any() else 1.0)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@each_operator
def test_fused_experts_are_merged_one_by_one(operator: Operator) -> None:
    tensors = random_deltas(3, (4, 6, 8))
    experts = [merged(operator, [tensor[e] for tensor in tensors]) for e in range(4)]
    torch.testing.assert_close(merged(operator, tensors), torch.stack(experts), rtol=0, atol=1e-12)


@each_operator
def test_a_parent_of_weight_0_takes_no_part(operator: Operator) -> None:
    tensors = random_deltas(3, (6, 8))
    with_it = merged(operator, tensors, weights=(0.5, 0.0, 1.5))
    assert torch.equal(with_it, merged(operator, [tensors[0], tensors[2]], weights=(0.5, 1.5)))


@each_task_operator
def test_without_any_weight_the_base_comes_back_bit_for_bit(operator: Operator) -> None:
    tensors, (base,) = random_deltas(3, (6, 8)), random_deltas(1, (6, 8), seed=9)
    assert torch.equal(merged(operator, tensors, weights=(0.0, 0.0, 0.0), base=base), base)


@each_task_operator
@pytest.mark.parametrize("shape", [(6, 8), (2, 6, 8), (8,)])
def test_parents_that_equal_the_base_give_the_base_bit_for_bit(operator: Operator, shape: tuple[int, ...]) -> None:
    base = random_deltas(1, shape, seed=9)[0].float()
    assert torch.equal(merged(operator, [base] * 3, base=base), base)


@each_task_operator
@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_scaling_the_task_vectors_scales_the_merge(operator: Operator, scale: float) -> None:
    tensors = [tensor.float() for tensor in random_deltas(3, (6, 8))]
    expected = scale * merged(operator, tensors)
    torch.testing.assert_close(merged(operator, [scale * t for t in tensors], base=None), expected, rtol=1e-5, atol=0)


@each_task_operator
def test_scaling_the_weights_scales_the_merge(operator: Operator) -> None:
    tensors = random_deltas(3, (6, 8))
    expected = 2 * merged(operator, tensors)
    found = merged(operator, tensors, weights=tuple(2 * weight for weight in WEIGHTS))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@each_operator
@pytest.mark.parametrize("shape", [(30, 40), (3, 6, 8)])
def test_what_is_remembered_does_not_change_a_bit(operator: Operator, shape: tuple[int, ...]) -> None:
    tensors = [tensor.float() for tensor in random_deltas(3, shape)]
    kept: dict[tuple[object, ...], tuple[Tensor, ...]] = {}

    def remember(what: str, inputs: tuple[int, ...], compute: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        key = (what, tuple(inputs))
        if key not in kept:
            kept[key] = tuple(part.contiguous() for part in compute())
        return tuple(part.clone() for part in kept[key])

    for weights in ((1.0, 1.0, 1.0), WEIGHTS):
        fresh = merged(operator, tensors, weights=weights)
        assert torch.equal(merged(operator, tensors, weights=weights, factors=remember), fresh)
        assert torch.equal(merged(operator, tensors, weights=weights, factors=remember), fresh)
    assert kept or operator.name == "rank_scaled"  # without a draw it decomposes nothing
