"""SVC and CART against loops over singular triples, and their composition with operators of every kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.operators.registry import OPERATORS, Operator, check_rule
from search_spaces.recipes.rule import Parameter
from tests.search_spaces.operators.merging import example, merge, operands_of, random_tensors, rule_of
from tests.search_spaces.operators.spectral import plain
from tests.search_spaces.operators.spectral.merged import random_deltas, tau

TASK_OPERATORS = [operator for operator in OPERATORS.values() if operator.needs_base]
each_task_operator = pytest.mark.parametrize("operator", TASK_OPERATORS, ids=[o.name for o in TASK_OPERATORS])
WEIGHTS = [{"weight": 1.0}] * 3
CART: dict[str, Parameter] = {"centre": "mean", "cart_rank_share": 0.25}


def calibrated_by_hand(merged: Tensor, deltas: list[Tensor], alpha: float) -> Tensor:
    u, s, vt = plain.svd(merged.numpy())
    found = np.zeros(merged.shape)
    for r in range(len(s)):
        said = 0.0
        for delta in deltas:
            response = u[:, r] @ delta.numpy()
            said += max(alpha, float(s[r] * vt[r] @ response / (response @ response)))
        found += len(deltas) / said * s[r] * np.outer(u[:, r], vt[r])
    return torch.from_numpy(found)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("shape", [(5, 8), (8, 5)])
def test_svc_scales_every_singular_triple_by_how_often_the_parents_say_it(shape: tuple[int, int], alpha: float) -> None:
    deltas = random_deltas(3, shape)
    expected = calibrated_by_hand(torch.stack(deltas).sum(0), deltas, alpha)
    torch.testing.assert_close(tau("adarank", deltas, *[{"rank_share": 1.0}] * 3, svc_alpha=alpha), expected)
    # The kernels' merge is float32.
    merged = tau("task_arithmetic", deltas, *WEIGHTS, svc_alpha=alpha)
    torch.testing.assert_close(merged.double(), expected, rtol=0, atol=1e-4)


def test_svc_counts_what_parents_have_in_common_once() -> None:
    (delta,) = random_deltas(1, (6, 9))
    merged = tau("task_arithmetic", [delta] * 3, *WEIGHTS, svc_alpha=1.0)
    torch.testing.assert_close(merged.double(), delta, rtol=0, atol=1e-5)


def test_svc_leaves_what_parents_say_alone_and_those_who_say_nothing_do_not_count() -> None:
    left, right = (torch.linalg.qr(random_deltas(1, (n, n))[0]).Q for n in (9, 7))
    deltas = [(i + 1.0) * torch.outer(left[:, i], right[i]) for i in range(3)]
    for alpha in (0.5, 1.0):
        merged = tau("task_arithmetic", deltas, *WEIGHTS, svc_alpha=alpha)
        torch.testing.assert_close(merged.double(), torch.stack(deltas).sum(0), rtol=0, atol=1e-5)


def test_svc_comes_before_the_gain() -> None:
    deltas = random_deltas(3, (6, 9))
    whole, half = (tau("task_arithmetic", deltas, *WEIGHTS, svc_alpha=0.7, lambda_=gain) for gain in (1.0, 0.5))
    torch.testing.assert_close(half, whole / 2)


def cart_by_hand(parents: list[Tensor], rank: int, gain: float) -> Tensor:
    mean = torch.stack(parents).mean(0)
    cut = [torch.from_numpy(plain.truncated((parent - mean).numpy(), 0, rank)) for parent in parents]
    return mean + gain * torch.stack(cut).sum(0)


@pytest.mark.parametrize("shape", [(8, 12), (12, 8)])
def test_cart_adds_cut_differences_to_the_mean(shape: tuple[int, int]) -> None:
    base, *parents = random_deltas(4, shape)
    rule = rule_of("task_arithmetic", *WEIGHTS, **CART, lambda_=2.3)
    torch.testing.assert_close(merge(rule, parents, base).double(), cart_by_hand(parents, 2, 2.3), rtol=0, atol=1e-5)
    rule = rule_of("adarank", *[{"rank_share": 1.0}] * 3, **CART, lambda_=2.3)
    torch.testing.assert_close(merge(rule, parents, base), cart_by_hand(parents, 2, 2.3), rtol=0, atol=1e-9)


def test_without_a_cut_equal_weights_about_the_mean_give_the_mean() -> None:
    base, *parents = random_tensors(4, (8, 12))
    merged = merge(rule_of("task_arithmetic", *WEIGHTS, centre="mean", lambda_=3.0), parents, base)
    torch.testing.assert_close(merged, torch.stack(parents).mean(0), rtol=0, atol=1e-5)


def test_a_cut_from_the_base_is_adaranks() -> None:
    deltas = random_deltas(3, (8, 12))
    cut = tau("task_arithmetic", deltas, *WEIGHTS, cart_rank_share=0.25)
    expected = tau("adarank", deltas, *[{"rank_share": 0.25}] * 3)
    torch.testing.assert_close(cut.double(), expected, rtol=0, atol=1e-5)


@each_task_operator
@pytest.mark.parametrize("own", [{"svc_alpha": 1.0}, CART, {**CART, "svc_alpha": 0.5}], ids=["svc", "cart", "both"])
def test_every_operator_composes_on_matrices_stacks_and_vectors(operator: Operator, own: dict[str, Parameter]) -> None:
    rule = replace(example(operator), parameters={**example(operator).parameters, **own})
    base, *parents = random_tensors(len(rule.inputs) + 1, (3, 8, 12))
    assert merge(rule, parents, base).isfinite().all()
    experts = [merge(rule, [parent[e] for parent in parents], base[e]) for e in range(3)]
    if operator.spectral:  # others look at a stack as a whole
        torch.testing.assert_close(merge(rule, parents, base), torch.stack(experts), rtol=0, atol=1e-4)
    assert merge(rule, [parent[0, 0] for parent in parents], base[0, 0]).isfinite().all()
    alike = merge(rule, [parents[0]] * len(parents), base if own is CART else parents[0])
    torch.testing.assert_close(alike, parents[0], rtol=0, atol=1e-5)


@each_task_operator
def test_stored_weights_give_what_float32_ones_give(operator: Operator) -> None:
    rule = replace(example(operator), parameters={**example(operator).parameters, **CART, "svc_alpha": 1.0})
    base, *parents = (tensor.bfloat16() for tensor in random_tensors(len(rule.inputs) + 1, (8, 12)))
    merged = merge(rule, [parent.float() for parent in parents], base.float())
    if operator.elementwise:
        assert torch.equal(merge(rule, parents, base), merged)
    assert merged.dtype == torch.float32


def test_thresholds_of_whole_models_are_refused_about_another_centre() -> None:
    for own in ({"centre": "mean"}, {"cart_rank_share": 0.5}):
        with pytest.raises(SpaceError, match=r"ties: scope: expected tensor with centre: mean .*found global"):
            check_rule(rule_of("ties", *WEIGHTS, scope="global", **own))
    check_rule(rule_of("ties", *WEIGHTS, scope="global", svc_alpha=1.0))


def test_what_is_remembered_of_centred_and_cut_parents_is_told_apart() -> None:
    base, *parents = random_tensors(4, (8, 12))
    kept: dict[tuple[object, ...], tuple[Tensor, ...]] = {}

    def remember(what: str, inputs: object, compute: object, *, statistics: object = ()) -> tuple[Tensor, ...]:
        key = (what, tuple(inputs), statistics)  # type: ignore[arg-type]
        if key not in kept:
            kept[key] = tuple(compute())  # type: ignore[operator]
        return tuple(part.clone() for part in kept[key])

    variants: list[dict[str, Parameter]] = [
        {},
        CART,
        {"centre": "mean"},
        {"cart_rank_share": 0.25},
        {**CART, "cart_rank_share": 0.5},
    ]
    for own in (*variants, *variants):
        operands = operands_of(rule_of("tsv_m", *WEIGHTS, **own), parents, base)
        fresh = OPERATORS["tsv_m"].merge(operands)
        assert torch.equal(OPERATORS["tsv_m"].merge(replace(operands, factors=remember)), fresh)
