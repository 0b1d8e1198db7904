"""What every operator must do, whatever it is: it is tested from the day it is registered.

An operator that cannot keep one of these promises is named here, with the reason.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.operators.parameters import Real
from search_spaces.operators.registry import OPERATORS, Operator
from search_spaces.recipe import Input, Parameter, Rule
from tests.search_spaces.operators.merging import example, merge, operands, operands_of

# A sum of N equal task vectors is not one of them, however weighted: claims and competitions count, spectra are sums.
NO_MEAN = {
    "consensus_ta": "sums what is claimed",
    "consensus_ties": "sums what is claimed",
    "pcb": "keeps the winners of a competition only",
    "nearswap": "moves by t at most",
    "arcee_fusion": "keeps what is important only",
    "composed": "tested as the operators that it composes",
    **dict.fromkeys(("iso_c", "iso_cts", "tsv_m", "r_tsvm", "star", "adarank", "lore", "opcm"), "see test_spectral"),
}
# What counts as zero, small or saturated has the weights' own unit.
ABSOLUTE = {"nearswap", "arcee_fusion", "ram", "ramplus_tl", "pcb"}

each_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS.keys())
each_task_operator = pytest.mark.parametrize(
    "operator", [operator for operator in OPERATORS.values() if operator.needs_base], ids=lambda operator: operator.name
)


def alike(operator: Operator, **changes: Parameter) -> Rule:
    """An example whose weights are 1, divided by their sum where the operator can."""
    return example(operator, **{"weight": 1.0, "normalize": True, "t": 0.3, "clip": 0.0, **changes})


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


@each_task_operator
@pytest.mark.parametrize("choice", [{}, {"normalize": True}, {"rescale": "l1"}, {"rescale": "none"}])
def test_parents_that_equal_the_base_give_the_base_bit_for_bit(
    operator: Operator, choice: dict[str, Parameter]
) -> None:
    rule = example(operator, density=0.5, **choice)
    _, base = operands(rule)
    assert torch.equal(merge(rule, [base] * len(rule.inputs), base), base)


@each_operator
def test_all_zero_tensors_merge_to_zeros(operator: Operator) -> None:
    rule = example(operator, density=0.5, rescale="l1")
    zeros = torch.zeros(30, 40)
    assert torch.equal(merge(rule, [zeros] * len(rule.inputs), zeros), zeros)


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - set(NO_MEAN)))
@pytest.mark.parametrize("deltas", [False, True])
def test_identical_parents_give_that_parent(name: str, deltas: bool) -> None:
    rule = alike(OPERATORS[name], deltas=deltas)
    tensors, base = operands(rule)
    merged = merge(rule, [tensors[0]] * len(tensors), base)
    torch.testing.assert_close(merged, tensors[0], rtol=1e-5, atol=1e-6)


WEIGHTED = sorted(
    name
    for name, operator in OPERATORS.items()
    if "weight" in operator.input_parameters and operator.input_parameters["weight"].gene and name not in NO_MEAN
)


@pytest.mark.parametrize("name", WEIGHTED)
def test_one_parent_with_all_the_weight_comes_back(name: str) -> None:
    rule = alike(OPERATORS[name])
    tensors, base = operands(rule)
    alone = tuple(Input(i.parent, {**i.parameters, "weight": float(k == 1)}) for k, i in enumerate(rule.inputs))
    merged = merge(replace(rule, inputs=alone), tensors, base)
    if OPERATORS[name].needs_base:
        torch.testing.assert_close(merged, tensors[1], rtol=1e-5, atol=1e-6)
    else:
        assert torch.equal(merged, tensors[1])


@each_operator
def test_the_order_of_the_parents_does_not_matter_unless_the_registry_says_so(operator: Operator) -> None:
    if operator.ordered or operator.n_inputs[1] == 1:
        pytest.skip("ordered by definition")
    rule = example(operator, density=0.4)
    weights = (0.2, 0.7, 0.4)
    if "weight" in operator.input_parameters:
        weighted = zip(rule.inputs, weights[: len(rule.inputs)], strict=True)
        rule = replace(rule, inputs=tuple(Input(i.parent, {**i.parameters, "weight": w}) for i, w in weighted))
    tensors, base = operands(rule)
    turned = replace(rule, inputs=rule.inputs[::-1])
    torch.testing.assert_close(merge(turned, tensors[::-1], base), merge(rule, tensors, base), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(OPERATORS) - ABSOLUTE))
def test_scaling_all_operands_scales_the_result(name: str) -> None:
    rule = example(OPERATORS[name], density=0.5)
    tensors, base = operands(rule)
    scaled = merge(rule, [4 * tensor for tensor in tensors], 4 * base)
    torch.testing.assert_close(scaled, 4 * merge(rule, tensors, base), rtol=1e-5, atol=1e-5)


@each_operator
@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 1), (1, 9), (0, 4), (2, 3, 4)])
def test_tensors_of_any_shape_merge_to_finite_values(operator: Operator, shape: tuple[int, ...]) -> None:
    rule = example(operator, density=0.01)
    tensors, base = operands(rule, shape)
    merged = merge(rule, tensors, base)
    assert merged.shape == shape
    assert merged.isfinite().all()


@each_operator
@given(n=st.integers(1, 200), seed=st.integers(0, 5))
@settings(deadline=None, max_examples=8)
def test_tensors_of_1_to_200_elements_merge_to_finite_values(operator: Operator, n: int, seed: int) -> None:
    rule = example(operator, density=1 / 256)
    tensors, base = operands(rule, (n,))
    assert merge(rule, [t + seed for t in tensors], base).isfinite().all()


@each_operator
def test_changes_of_equal_size_merge_to_finite_values(operator: Operator) -> None:
    rule = example(operator, density=0.3)
    tensors, base = operands(rule)
    equal = [base + 0.25 * torch.sign(tensor - base) for tensor in tensors]
    assert merge(rule, equal, base).isfinite().all()


@each_operator
@pytest.mark.parametrize("density", [1 / 256, 0.5, 1.0])
def test_bfloat16_operands_with_their_ties_merge_to_finite_values(operator: Operator, density: float) -> None:
    rule = example(operator, density=density)
    tensors, base = operands(rule)
    rounded = [tensor.to(torch.bfloat16).float() for tensor in (*tensors, base)]
    assert merge(rule, rounded[:-1], rounded[-1]).isfinite().all()


@each_operator
@given(scale=st.floats(-3, 3), data=st.data())
@settings(deadline=None, max_examples=15)
def test_every_gene_within_its_default_bounds_gives_finite_values(
    operator: Operator, scale: float, data: st.DataObject
) -> None:
    drawn: dict[str, Parameter] = {}
    for name, kind in operator.kinds.items():
        if kind.gene is not None:
            drawn[name] = kind.scale_of(kind.gene, name).value(data.draw(st.floats(0, 1), label=name))
    if operator.divides_by_weights != "never" and float(drawn["weight"]) < 1e-6:
        return
    rule = example(operator, **drawn)
    tensors, base = operands(rule, (5, 7))
    assert merge(rule, [scale * tensor for tensor in tensors], base, layer=(1, 4)).isfinite().all()


@each_task_operator
def test_lambda_0_returns_the_base_bit_for_bit(operator: Operator) -> None:
    rule = example(operator, **{"lambda": 0.0})
    tensors, base = operands(rule)
    base[0, 0] = -0.0
    assert torch.equal(merge(rule, tensors, base).view(torch.int32), base.view(torch.int32))


@each_task_operator
@pytest.mark.parametrize(
    ("name", "layer", "head", "gain"),
    [
        ("model.layers.0.mlp.up_proj.weight", (0, 5), "start", 0.5),
        ("model.layers.1.mlp.up_proj.weight", (1, 5), "start", 0.8),
        ("model.layers.4.mlp.up_proj.weight", (4, 5), "start", 1.7),
        ("model.layers.0.mlp.up_proj.weight", (0, 1), "start", 1.7),
        ("model.embed_tokens.weight", None, "end", 0.5),
        ("lm_head.weight", None, "start", 0.5),
        ("lm_head.weight", None, "end", 1.7),
    ],
)
def test_lines_scales_the_merged_task_vector_over_the_depth(
    operator: Operator, name: str, layer: tuple[int, int] | None, head: str, gain: float
) -> None:
    plain = example(operator, density=0.5)
    tensors, base = operands(plain)
    lines: dict[str, Parameter] = {"lambda": 1.0, "lines_alpha": 0.5, "lines_beta": 1.2, "lines_head": head}
    merged = merge(example(operator, density=0.5, **lines), tensors, base, name=name, layer=layer)
    expected = base + gain * (merge(plain, tensors, base, name=name, layer=layer) - base)
    torch.testing.assert_close(merged, expected, rtol=1e-4, atol=1e-5)


@each_operator
def test_the_function_reads_every_parameter_of_its_row(operator: Operator) -> None:
    tensors, base = operands(example(operator), (40, 30))
    read = _read_by(operator, tensors, base)
    assert set(operator.kinds) - read <= {"int8_mask"}


class _Reads(dict[str, Parameter]):
    """A mapping that remembers what was asked for."""

    def __init__(self, values: dict[str, Parameter]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Parameter:
        self.asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Parameter | None = None) -> Parameter | None:  # type: ignore[override]
        self.asked.add(name)
        return super().get(name, default)


def _read_by(operator: Operator, tensors: list[Tensor], base: Tensor) -> set[str]:
    asked: set[str] = set()
    for changes in _variants(operator):
        found = operands_of(example(operator, **changes), tensors, base)
        own, inputs = _Reads(dict(found.parameters)), tuple(_Reads(dict(i)) for i in found.inputs)
        for name, layer in (("x.layers.5.w", (5, 40)), ("head", None)):
            operator.merge(replace(found, parameters=own, inputs=inputs, name=name, layer=layer))
        asked |= own.asked.union(*(i.asked for i in inputs))
    return asked


def _variants(operator: Operator) -> list[dict[str, Parameter]]:
    """The example, and each of its words and flags changed in turn, at densities that sparsify."""
    sparse: dict[str, Parameter] = {"density": 0.5, "select_topk": 0.5}
    variants = [sparse]
    for name, kind in operator.kinds.items():
        if not isinstance(kind, Real) and isinstance(kind.gene, tuple) and not isinstance(kind.gene[0], float):
            variants += [{**sparse, name: choice} for choice in kind.gene if not isinstance(choice, float)]
    return variants
