from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.search_spaces.operators.with_statistics import merged, normal

numbers = st.floats(0.05, 1.0)


def slowly(
    deltas: Sequence[Tensor],
    known: Sequence[Tensor],
    weights: Sequence[float],
    densities: Sequence[float],
    power: float,
    floor: float,
) -> Tensor:
    """The formula of the cards, one element at a time."""
    n = deltas[0].numel()
    flat = [delta.reshape(-1).tolist() for delta in deltas]
    values = [x.reshape(-1).tolist() for x in known]
    keeps = []
    for delta, x, density in zip(flat, values, densities, strict=True):
        order = sorted(range(n), key=lambda e: (-x[e] * delta[e] ** 2, e))
        keeps.append(set(order[: max(1, math.floor(density * n + 1e-9))]))
    result = []
    for e in range(n):
        above = below = 0.0
        for delta, x, weight, kept in zip(flat, values, weights, keeps, strict=True):
            if e in kept:
                precision = weight * (x[e] + floor * sum(x) / n) ** power
                above += precision * delta[e]
                below += precision
        result.append(above / below if below else 0.0)
    return torch.tensor(result, dtype=torch.float64).reshape(deltas[0].shape)


@given(weights=st.tuples(numbers, numbers, numbers), power=st.floats(0, 2), floor=numbers, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_fisher_is_the_elementwise_formula(weights: tuple[float, ...], power: float, floor: float, seed: int) -> None:
    deltas = [normal(4, 5, seed=seed + i) for i in range(3)]
    information = [1e-9 * normal(4, 5, seed=seed + 7 + i).square() for i in range(3)]
    found = merged(
        "fisher", deltas, {"fisher": information}, inputs=[{"weight": w} for w in weights], power=power, floor=floor
    )
    expected = slowly(deltas, information, weights, (1.0, 1.0, 1.0), power, floor)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@given(
    weights=st.tuples(numbers, numbers, numbers),
    densities=st.tuples(numbers, numbers, numbers),
    power=numbers,
    floor=st.floats(1e-6, 1.0),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=30)
def test_ota_is_the_elementwise_formula_over_the_parents_that_keep_an_element(
    weights: tuple[float, ...], densities: tuple[float, ...], power: float, floor: float, seed: int
) -> None:
    deltas = [1e-3 * normal(4, 5, seed=seed + i) for i in range(3)]
    moments = [1e-14 * 10**i * normal(4, 5, seed=seed + 7 + i).square() for i in range(3)]
    inputs = [{"weight": w, "density": d} for w, d in zip(weights, densities, strict=True)]
    found = merged("ota", deltas, {"moments": moments}, inputs=inputs, power=power, floor=floor)
    expected = slowly(deltas, moments, weights, densities, power, floor)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-8)


def test_an_element_that_no_parent_keeps_is_the_bases() -> None:
    deltas, base = [torch.tensor([3.0, 1.0, 0.5]), torch.tensor([-1.0, 2.0, 0.1])], torch.tensor([10.0, 20.0, 30.0])
    moments = [torch.ones(3)] * 2
    found = merged("ota", [base + d for d in deltas], {"moments": moments}, base=base, inputs=[{"density": 0.34}] * 2)
    assert found.tolist() == [13.0, 22.0, 30.0]


@pytest.mark.parametrize("operator", ["fisher", "ota"])
@pytest.mark.parametrize("known", [True, False])
def test_where_nobody_knows_anything_it_is_the_weighted_mean(operator: str, known: bool) -> None:
    deltas, kind = [normal(3, 4, seed=i) for i in range(2)], "fisher" if operator == "fisher" else "moments"
    nothing = [torch.zeros(3, 4) if known else None, torch.zeros(3, 4)]
    inputs = [{"weight": 1.0}, {"weight": 3.0}]
    inputs = [{**each, "density": 1.0} for each in inputs] if operator == "ota" else inputs
    found = merged(operator, deltas, {kind: nothing}, inputs=inputs)
    torch.testing.assert_close(found.double(), 0.25 * deltas[0] + 0.75 * deltas[1])


def test_a_parent_without_information_about_a_tensor_has_no_say_in_it() -> None:
    deltas = [normal(3, 4, seed=i) for i in range(2)]
    information = [torch.zeros(3, 4), normal(3, 4, seed=5).square()]
    torch.testing.assert_close(merged("fisher", deltas, {"fisher": information}), deltas[1].float())


def test_by_tensor_a_parents_unit_does_not_matter() -> None:
    deltas = [normal(3, 4, seed=i) for i in range(2)]
    information = [normal(3, 4, seed=i).square() for i in (5, 6)]
    found = merged("fisher", deltas, {"fisher": [information[0], 1e3 * information[1]]}, scale="tensor")
    torch.testing.assert_close(found, merged("fisher", deltas, {"fisher": information}, scale="tensor"))


@pytest.mark.parametrize("weights", [[0.0, 2.0, 0.0], [1.0, 1.0, 1.0]])
@pytest.mark.parametrize("operator", ["fisher", "ota"])
def test_a_parent_alone_and_equal_parents_come_back(operator: str, weights: list[float]) -> None:
    parent = normal(3, 4, seed=1).float()
    parents = [parent] * 3 if weights[0] else [normal(3, 4, seed=9), parent, normal(3, 4, seed=8)]
    known = [normal(3, 4, seed=i).square() for i in range(3)]
    inputs = [{"weight": w, **({"density": 1.0} if operator == "ota" else {})} for w in weights]
    assert torch.equal(merged(operator, parents, {"fisher": known, "moments": known}, inputs=inputs), parent)
