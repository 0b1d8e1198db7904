"""What every operator must keep: subclass it and give the fixture.

class TestClipped(OperatorContract):
    @pytest.fixture
    def operator(self) -> Operator:
        return CLIPPED
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.operators.kernels.threshold import Trim, magnitudes_of, trim_to
from search_spaces.operators.operator import Operands, Operator
from search_spaces.operators.parameters import Kind, Real, Whole
from search_spaces.recipes.rule import Parameter

# What parameters without a default are given, where the middle of their gene will not do.
REQUIRED: dict[str, Parameter] = {"weight": 0.5, "t": 0.3, "metric": 2.0}
SHAPES = [(), (1,), (7,), (3, 1), (1, 9), (0, 4), (2, 3, 4), (40, 50), (1100,)]

# The operator is immutable, so one per test serves all of a test's examples.
examples = settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def example_value(name: str, kind: Kind) -> Parameter:
    """A legal value: the default, or one of `REQUIRED`, or the middle of the gene."""
    if kind.default is not None:
        return kind.default
    if name in REQUIRED:
        return REQUIRED[name]
    assert kind.gene is not None, f"{name}: a parameter without a default needs a gene, or a value in REQUIRED"
    return kind.scale_of(kind.gene, name).value(0.5)


def random_tensors(n: int, shape: tuple[int, ...], *, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(n)]


def operands_for(
    operator: Operator, shape: tuple[int, ...] = (40, 50), *, size: float = 0.1, seed: int = 0, **changes: Parameter
) -> Operands:
    """One base, and as many parents as the operator takes, up to three: the base plus noise of a size."""
    n = min(operator.n_inputs[1] or 3, 3)
    base, *noise = random_tensors(n + 1, shape, seed=seed)
    values = {
        name: kind.checked(changes.get(name, example_value(name, kind)), name) for name, kind in operator.kinds.items()
    }
    own = {name: values[name] for name in operator.parameters}
    each = {name: values[name] for name in operator.input_parameters}
    return with_tensors(Operands((), None, (each,) * n, own, lambda i: 7 + i), [base + size * x for x in noise], base)


def random_statistic(i: int, kind: str, shape: tuple[int, ...]) -> Tensor | None:
    """What the i-th parent might have computed of a tensor of a shape; matrices (and stacks of them) are linear layers.

    None where a pass over prompts finds nothing of the kind: Gram matrices of vectors.
    """
    generator = torch.Generator().manual_seed(100 * i + len(kind))
    if kind in ("fisher", "moments"):
        return 1e-6 * torch.randn(shape, generator=generator).square()
    if kind == "sensitivity":
        return torch.rand((), generator=generator)
    if len(shape) not in (2, 3) or 0 in shape:
        return None
    n = shape[-2] if kind == "output_gram" else shape[-1]
    read = torch.randn(*shape[:-2], 3 * n, n, generator=generator)
    return read.mT @ read / (3 * n)


def _gain(value: float) -> dict[str, Any]:
    return {"lambda": value}


def with_tensors(operands: Operands, tensors: Sequence[Tensor], base: Tensor) -> Operands:
    """The same operands of other tensors, with random statistics; the tensor is the whole model."""

    def trim(i: int, density: float) -> Trim:
        kept = max(1, int(density * base.numel() + 1e-9))
        return trim_to(magnitudes_of(tensors[i].reshape(-1), base.reshape(-1))(slice(None)), kept)

    return replace(
        operands,
        tensors=tuple(tensors),
        base=base,
        global_trims=trim,
        statistic=lambda i, kind: random_statistic(i, kind, tuple(base.shape)),
    )


def words_and_flags(operator: Operator) -> list[dict[str, Any]]:
    """No change, and each of the operator's words and flags changed in turn."""
    variants: list[dict[str, Parameter]] = [{}]
    for name, kind in operator.kinds.items():
        if not isinstance(kind, Real | Whole):
            variants += [{name: choice} for choice in kind.gene]
    return variants


class OperatorContract:
    ignored: ClassVar[set[str]] = {"int8_mask"}  # parameters that are taken and have no effect

    @pytest.fixture
    def operator(self) -> Operator:
        raise NotImplementedError("give the operator to test")

    def test_genes_are_parameters_and_their_bounds_are_legal(self, operator: Operator) -> None:
        assert not set(operator.input_parameters) & set(operator.parameters)
        for name, gene in operator.genes.items():
            operator.kinds[name].scale_of(gene, name)
            assert all(operator.kinds[name].checked(value, name) is not None for value in gene)

    @given(
        shape=st.one_of(st.sampled_from(SHAPES), st.integers(1, 200).map(lambda n: (n,))),
        density=st.sampled_from([1 / 256, 0.01, 0.5, 1.0]),
        levels=st.sampled_from([0, 1, 2, 8]),
        seed=st.integers(0, 99),
    )
    @examples
    def test_any_operands_merge_to_a_new_finite_tensor_and_stay_as_they_were(
        self, operator: Operator, shape: tuple[int, ...], density: float, levels: int, seed: int
    ) -> None:
        operands = operands_for(operator, shape, seed=seed, size=1.0, **_known(operator, density=density))
        assert operands.base is not None
        if levels:  # many ties and zeros
            rounded = [tensor.mul(levels).round().div(levels) for tensor in (*operands.tensors, operands.base)]
            operands = with_tensors(operands, rounded[:-1], rounded[-1])
        assert operands.base is not None
        given_ = [*operands.tensors, operands.base]
        before = [tensor.clone() for tensor in given_]
        merged = operator.merge(operands)
        assert (merged.dtype, merged.shape, merged.is_contiguous()) == (torch.float32, shape, True)
        assert bool(merged.isfinite().all())
        assert all(map(torch.equal, before, given_))
        assert merged.numel() == 0 or merged.data_ptr() not in {tensor.data_ptr() for tensor in given_}
        assert torch.equal(operator.merge(operands), merged)

    @given(position=st.floats(0, 1), scale=st.floats(-3, 3), data=st.data())
    @examples
    def test_every_gene_gives_finite_values(
        self, operator: Operator, position: float, scale: float, data: st.DataObject
    ) -> None:
        drawn: dict[str, Any] = {
            name: operator.kinds[name].scale_of(gene, name).value(data.draw(st.floats(0, 1), label=name))
            for name, gene in operator.genes.items()
        }
        assume(operator.divides_by_weights == "never" or float(drawn["weight"]) >= 1e-6)
        operands = operands_for(operator, (5, 7), **drawn)
        assert operands.base is not None
        scaled = with_tensors(operands, [scale * tensor for tensor in operands.tensors], operands.base)
        assert bool(operator.merge(replace(scaled, layer=(round(3 * position), 4))).isfinite().all())

    def test_parents_that_equal_the_base_give_the_base_bit_for_bit(self, operator: Operator) -> None:
        if not operator.needs_base:
            pytest.skip("takes no base")
        for choice in words_and_flags(operator):
            operands = operands_for(operator, **_known(operator, density=0.5), **choice)
            assert operands.base is not None
            alike = with_tensors(operands, [operands.base] * len(operands.tensors), operands.base)
            assert torch.equal(operator.merge(alike), operands.base), choice

    def test_zeros_merge_to_zeros(self, operator: Operator) -> None:
        operands, zeros = operands_for(operator, (30, 40), **_known(operator, density=0.5)), torch.zeros(30, 40)
        assert torch.equal(operator.merge(with_tensors(operands, [zeros] * len(operands.tensors), zeros)), zeros)

    def test_the_order_of_the_parents_does_not_matter_unless_the_row_says_so(self, operator: Operator) -> None:
        if operator.ordered or operator.n_inputs[1] == 1:
            pytest.skip("ordered by definition")
        operands = operands_for(operator, **_known(operator, density=0.4))
        assert operands.base is not None
        inputs = operands.inputs
        if "weight" in operator.input_parameters:
            weights = (0.2, 0.7, 0.4)[: len(inputs)]
            inputs = tuple({**each, "weight": w} for each, w in zip(inputs, weights, strict=True))
        last = len(inputs) - 1
        straight = replace(operands, inputs=inputs)
        turned = with_tensors(replace(operands, inputs=inputs[::-1]), operands.tensors[::-1], operands.base)
        turned = replace(
            turned,
            seeds=lambda i: operands.seeds(last - i),
            statistic=lambda i, kind: random_statistic(last - i, kind, tuple(turned.tensors[0].shape)),
        )
        torch.testing.assert_close(operator.merge(turned), operator.merge(straight), rtol=1e-4, atol=1e-5)

    def test_a_gain_of_0_returns_the_base_bit_for_bit(self, operator: Operator) -> None:
        if not operator.needs_base or "lambda" not in operator.parameters:
            pytest.skip("has no gain")
        operands = operands_for(operator, **_gain(0.0))
        assert operands.base is not None
        operands.base[0, 0] = -0.0
        assert torch.equal(operator.merge(operands).view(torch.int32), operands.base.view(torch.int32))

    def test_the_gain_scales_the_merged_task_vector(self, operator: Operator) -> None:
        if not operator.needs_base or "lambda" not in operator.parameters:
            pytest.skip("has no gain")
        whole, half = (operands_for(operator, **_gain(gain)) for gain in (1.0, 0.5))
        assert whole.base is not None
        expected = whole.base + 0.5 * (operator.merge(whole) - whole.base)
        torch.testing.assert_close(operator.merge(half), expected, rtol=1e-4, atol=1e-5)

    def test_the_method_reads_every_parameter_of_its_row(self, operator: Operator) -> None:
        asked: set[str] = set()
        for choice in words_and_flags(operator):
            operands = operands_for(operator, **_known(operator, density=0.5, select_topk=0.5), **choice)
            own, inputs = Remembering(operands.parameters, asked), [Remembering(i, asked) for i in operands.inputs]
            watched = replace(operands, parameters=own, inputs=tuple(inputs))
            for name, layer in (("x.layers.5.w", (5, 40)), ("head", None)):
                operator.merge(replace(watched, name=name, layer=layer))
        assert set(operator.kinds) - asked <= self.ignored


class Remembering(dict[str, Parameter]):
    """A mapping that adds to a set what it is asked for."""

    def __init__(self, values: Mapping[str, Parameter], asked: set[str]) -> None:
        super().__init__(values)
        self._asked = asked

    def __getitem__(self, name: str) -> Parameter:
        self._asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Parameter | None = None) -> Parameter | None:  # type: ignore[override]
        self._asked.add(name)
        return super().get(name, default)


def _known(operator: Operator, **values: Parameter) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in operator.kinds}
