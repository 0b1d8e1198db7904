"""Every operator is tested from the day it is registered: add it to OPERATORS, and give `example` what it needs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.operators.registry import OPERATORS, Operator, check_rule, operator_named
from search_spaces.recipe import Input, Parameter, Rule
from tests.search_spaces.operators.merging import merge, random_tensors

# Order of the inputs is part of what these mean, or there is only one.
ORDERED = {"slerp", "passthrough"}
AVERAGES = {"linear", "slerp", "passthrough"}

each_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())


def example(operator: Operator, **changes: Parameter) -> Rule:
    """A rule with everything that is required, for as many inputs as the operator takes, up to three."""
    n = min(operator.n_inputs[1] or 3, 3)
    required = {"weight": 0.5, "t": 0.3}

    def values(known: object) -> dict[str, Parameter]:
        assert isinstance(known, dict)
        given = {name: required[name] for name, default in known.items() if default is None}
        return given | {name: value for name, value in changes.items() if name in known}

    inputs = tuple(Input(f"p{i}", values(operator.input_parameters)) for i in range(n))
    return Rule(operator.name, inputs, values(operator.parameters))


def operands(rule: Rule, shape: tuple[int, ...] = (40, 50)) -> tuple[list[Tensor], Tensor]:
    base, *tensors = random_tensors(len(rule.inputs) + 1, shape)
    return [base + 0.1 * tensor for tensor in tensors], base


@each_operator
def test_operands_are_left_as_they_were(operator: Operator) -> None:
    rule = example(operator, density=0.5)
    tensors, base = operands(rule)
    before = [tensor.clone() for tensor in (*tensors, base)]
    merge(rule, tensors, base)
    assert all(torch.equal(a, b) for a, b in zip(before, (*tensors, base), strict=True))


@each_operator
def test_the_result_is_a_new_contiguous_float32_tensor_of_the_same_shape(operator: Operator) -> None:
    rule = example(operator)
    tensors, base = operands(rule)
    merged = merge(rule, tensors, base)
    assert (merged.dtype, merged.shape, merged.is_contiguous()) == (torch.float32, base.shape, True)
    assert merged.data_ptr() not in {tensor.data_ptr() for tensor in (*tensors, base)}


@each_operator
def test_merging_twice_gives_the_same_bits(operator: Operator) -> None:
    rule = example(operator, density=0.3)
    tensors, base = operands(rule)
    assert torch.equal(merge(rule, tensors, base), merge(rule, tensors, base))


@each_operator
@pytest.mark.parametrize("normalize", [True, False])
def test_parents_that_equal_the_base_give_the_base(operator: Operator, normalize: bool) -> None:
    if operator.name == "linear" and not normalize:
        pytest.skip("a sum, not an average")
    rule = example(operator, density=0.5, normalize=normalize)
    _, base = operands(rule)
    torch.testing.assert_close(merge(rule, [base] * len(rule.inputs), base), base, rtol=1e-6, atol=1e-7)


@each_operator
def test_identical_parents_give_that_parent_when_weights_are_normalised(operator: Operator) -> None:
    rule = example(operator, normalize=True)
    tensors, base = operands(rule)
    merged = merge(rule, [tensors[0]] * len(tensors), base)
    torch.testing.assert_close(merged, tensors[0], rtol=1e-5, atol=1e-6)


@each_operator
def test_the_order_of_the_parents_does_not_matter(operator: Operator) -> None:
    if operator.name in ORDERED:
        pytest.skip("ordered by definition")
    rule = example(operator, density=0.4)
    inputs = tuple(
        Input(i.parent, {**i.parameters, "weight": weight})
        for i, weight in zip(rule.inputs, (0.2, 0.7, 0.4), strict=True)
    )
    rule = Rule(rule.operator, inputs, rule.parameters)
    tensors, base = operands(rule)
    turned = Rule(rule.operator, inputs[::-1], rule.parameters)
    torch.testing.assert_close(merge(turned, tensors[::-1], base), merge(rule, tensors, base), rtol=1e-5, atol=1e-6)


@each_operator
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 1), (0, 4), (2, 3, 4)])
def test_tensors_of_any_shape_merge_to_finite_values(operator: Operator, shape: tuple[int, ...]) -> None:
    rule = example(operator, density=0.01)
    tensors, base = operands(rule, shape)
    merged = merge(rule, tensors, base)
    assert merged.shape == shape
    assert merged.isfinite().all()


@each_operator
def test_all_zero_tensors_merge_to_zeros(operator: Operator) -> None:
    rule = example(operator, density=0.5, rescale="l1")
    zeros = torch.zeros(30, 40)
    assert torch.equal(merge(rule, [zeros] * len(rule.inputs), zeros), zeros)


@each_operator
def test_scaling_all_operands_scales_the_result(operator: Operator) -> None:
    rule = example(operator, density=0.5)
    tensors, base = operands(rule)
    scaled = merge(rule, [4 * tensor for tensor in tensors], 4 * base)
    torch.testing.assert_close(scaled, 4 * merge(rule, tensors, base), rtol=1e-6, atol=1e-6)


@each_operator
@given(scale=st.floats(-3, 3), data=st.data())
@settings(deadline=None, max_examples=25)
def test_every_gene_within_its_default_bounds_gives_finite_values(
    operator: Operator, scale: float, data: st.DataObject
) -> None:
    drawn = {name: data.draw(st.floats(*bounds), label=name) for name, bounds in operator.genes.items()}
    if operator.name == "linear" and drawn["weight"] < 1e-6:
        return
    rule = example(operator, **drawn)
    tensors, base = operands(rule, (5, 7))
    assert merge(rule, [scale * tensor for tensor in tensors], base).isfinite().all()


@each_operator
def test_genes_are_parameters_and_their_bounds_pass_the_check(operator: Operator) -> None:
    for name, bounds in operator.genes.items():
        assert (name in operator.input_parameters) != (name in operator.parameters)
        for value in bounds:
            check_rule(example(operator, **{name: value}))


@each_operator
def test_an_unknown_parameter_is_named_with_the_nearest(operator: Operator) -> None:
    rule = example(operator)
    with pytest.raises(SpaceError, match="found 'densty'"):
        check_rule(Rule(rule.operator, rule.inputs, {**rule.parameters, "densty": 0.5}))


@each_operator
def test_the_check_is_idempotent(operator: Operator) -> None:
    checked = check_rule(example(operator))
    assert check_rule(checked) == checked


def test_an_unknown_operator_is_named_with_the_nearest() -> None:
    with pytest.raises(SpaceError, match=r"found 'dare_tise' \(did you mean 'dare_ties'\?\)"):
        operator_named("dare_tise")


A, B = Input("a", {"weight": 1.0}), Input("b", {"weight": 1.0})


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule("ties", (Input("a"),)), r"ties, parent 'a': expected the parameter 'weight', found none"),
        (Rule("ties", (Input("a", {"weight": 1.0, "density": 0.0}),)), r"share in \(0, 1\], found 0.0"),
        (Rule("ties", (Input("a", {"weight": 1.0, "density": 1.1}),)), r"share in \(0, 1\], found 1.1"),
        (Rule("ties", (Input("a", {"weight": float("nan")}),)), "weight: expected a finite number, found nan"),
        (Rule("ties", (Input("a", {"weight": True}),)), "weight: expected a finite number, found True"),
        (Rule("ties", (A,), {"normalize": 1.0}), "normalize: expected true or false, found 1.0"),
        (Rule("dare_ties", (A,), {"rescale": "l2"}), "rescale: expected true, false or one of"),
        (Rule("slerp", (Input("a"), Input("b")), {"t": float("inf")}), "t: expected a finite number, found inf"),
        (Rule("slerp", (Input("a"), Input("b")), {"t": "half"}), "t: expected a finite number, found 'half'"),
        (Rule("slerp", (Input("a"),), {"t": 0.5}), "slerp: expected exactly 2 inputs, found 1"),
        (Rule("passthrough", (Input("a"), Input("b"))), "passthrough: expected exactly 1 inputs, found 2"),
        (Rule("linear", ()), "linear: expected at least 1 inputs, found 0"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: Rule, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        check_rule(rule)


@pytest.mark.parametrize(("given", "meaning"), [(True, "l1"), (False, "none"), ("density", "density")])
def test_rescale_takes_mergekits_truth_values(given: Parameter, meaning: str) -> None:
    assert check_rule(Rule("dare_ties", (A, B), {"rescale": given})).parameters["rescale"] == meaning


def test_defaults_are_filled_in() -> None:
    checked = check_rule(Rule("ties", (Input("a", {"weight": 1}),)))
    assert dict(checked.inputs[0].parameters) == {"weight": 1.0, "density": 1.0}
    assert dict(checked.parameters) == {"lambda": 1.0, "normalize": True, "int8_mask": False, "rescale": "none"}
