from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.merging.materialise import carry_out
from search_spaces.merging.memory import MergeMemory
from search_spaces.operators.kernels import counter
from search_spaces.operators.kernels.blocks import merge_into
from search_spaces.recipes.rule import Input, Rule
from tests.search_spaces.operators.kernels.rules import (
    DTYPES,
    NAME,
    by_slow_form,
    fused_rules,
    held,
    merge_of,
    plan_of,
    random_parents,
)

SHAPES = st.one_of(
    st.integers(1, 200).map(lambda n: (n,)),
    st.tuples(st.integers(1, 40), st.integers(1, 50)),
    st.sampled_from([(), (0, 3), (2, 3, 4), (1023,), (1024,), (33, 32)]),
)


def same_bits(a: Tensor, b: Tensor) -> bool:
    bits = {2: torch.int16, 4: torch.int32}[a.dtype.itemsize]
    return a.dtype == b.dtype and a.shape == b.shape and a.view(bits).equal(b.view(bits))


@settings(max_examples=400, deadline=None)
@given(
    rule=fused_rules(),
    shape=SHAPES,
    dtypes=st.lists(st.sampled_from(DTYPES), min_size=1, max_size=3),
    levels=st.sampled_from([0, 2, 8]),
    dtype=st.sampled_from(["float32", "bfloat16", "float16"]),
    seed=st.integers(0, 50),
)
def test_kernels_give_the_bits_of_the_slow_forms(
    rule: Rule, shape: tuple[int, ...], dtypes: list[torch.dtype], levels: int, dtype: str, seed: int
) -> None:
    parents = random_parents(shape, len(rule.inputs), dtypes, levels=levels, seed=seed)
    plan = plan_of(rule, parents, dtype=dtype, seed=seed)
    try:
        expected = by_slow_form(plan, parents)
    except SpaceError as error:
        assume("sum is not 0" not in str(error))
        raise
    assume(bool(expected.isfinite().all()))
    if rule.parameters.get("scope") != "global":  # elsewhere that counts the tensors of the whole model
        assert same_bits(carry_out(plan, parents), expected)
        assert same_bits(carry_out(plan, parents, memory=MergeMemory()), expected)


@settings(max_examples=60, deadline=None)
@given(rule=fused_rules(), block=st.integers(1, 300), n=st.integers(1, 900))
def test_the_size_of_the_blocks_changes_nothing(rule: Rule, block: int, n: int) -> None:
    parents = random_parents((n,), len(rule.inputs), [torch.bfloat16])
    try:
        merge = merge_of(plan_of(rule, parents), parents)
    except SpaceError:
        merge = None
    assume(merge is not None)
    assert merge is not None
    whole, parts = torch.empty(n), torch.empty(n)
    merge_into(whole, merge, block=n)
    merge_into(parts, merge, block=block)
    assert same_bits(whole, parts)


@pytest.mark.parametrize("operator", ["ties", "dare_ties", "della", "breadcrumbs", "sce"])
def test_segments_of_long_tensors_continue_the_count(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter, "SEGMENT", 1000)
    inputs = tuple(Input(f"p{i}", {} if operator == "sce" else {"weight": 0.7, "density": 0.4}) for i in range(3))
    rule = Rule(operator, inputs, {"select_topk": 0.3} if operator == "sce" else {})
    parents = random_parents((3, 1111), 3, [torch.float32], levels=4)
    plan = plan_of(rule, parents)
    assert same_bits(carry_out(plan, parents), by_slow_form(plan, parents))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("levels", [0, 8])
@pytest.mark.parametrize(
    "operator", ["ties", "dare_linear", "dare_ties", "della_linear", "della", "breadcrumbs", "breadcrumbs_ties", "sce"]
)
def test_tensors_of_many_blocks_have_the_bits_of_the_slow_forms(operator: str, levels: int, threads: int) -> None:
    each = {} if operator == "sce" else {"weight": 0.7, "density": 0.4}
    rescaled = {"select_topk": 0.3} if operator == "sce" else {"rescale": "l1"}
    rule = Rule(operator, tuple(Input(f"p{i}", each) for i in range(3)), rescaled)
    parents = random_parents((1500, 777), 3, [torch.bfloat16, torch.float32], levels=levels)
    plan = plan_of(rule, parents)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert same_bits(carry_out(plan, parents), by_slow_form(plan, parents))
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("operator", ["linear", "ties", "sce"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_told(operator: str, value: float) -> None:
    bad = torch.randn(70_000)
    bad[69_999] = value
    parents = held([torch.randn(70_000), bad], torch.zeros(70_000))
    weights = {} if operator == "sce" else {"weight": 0.5}
    plan = plan_of(Rule(operator, (Input("p0", weights), Input("p1", weights))), parents)
    with pytest.raises(SpaceError, match=rf"{NAME}: expected finite values after {operator}, found NaN or infinity"):
        carry_out(plan, parents)


def test_the_result_is_written_straight_into_what_is_given() -> None:
    parents = random_parents((30, 20), 2, [torch.bfloat16])
    plan = plan_of(Rule("ties", tuple(Input(f"p{i}", {"weight": 1.0, "density": 0.5}) for i in range(2))), parents)
    out = torch.full((30, 20), 7.0)
    version = out._version
    assert carry_out(plan, parents, out=out).data_ptr() == out.data_ptr()
    assert same_bits(out, by_slow_form(plan, parents))
    assert out._version > version


@pytest.mark.parametrize("scattered", [torch.empty(20, 30).T, torch.empty(30, 40)[:, ::2]])
def test_what_is_given_may_lie_scattered_in_memory(scattered: Tensor) -> None:
    parents = random_parents((30, 20), 2, [torch.bfloat16])
    plan = plan_of(Rule("linear", (Input("p0", {"weight": 1.0}), Input("p1", {"weight": 0.5}))), parents)
    carry_out(plan, parents, out=scattered)
    assert scattered.equal(by_slow_form(plan, parents))


@settings(max_examples=100, deadline=None)
@given(
    rule=fused_rules(["sce", "breadcrumbs"]),
    shape=SHAPES,
    levels=st.sampled_from([0, 1, 2, 8]),
    seed=st.integers(0, 50),
)
def test_statistics_kept_for_many_candidates_are_those_of_one(
    rule: Rule, shape: tuple[int, ...], levels: int, seed: int
) -> None:
    parents = random_parents(shape, len(rule.inputs), [torch.bfloat16], levels=levels, seed=seed)
    plan, known = plan_of(rule, parents), MergeMemory()
    for _ in range(2):
        assert same_bits(carry_out(plan, parents, memory=known), by_slow_form(plan, parents))
