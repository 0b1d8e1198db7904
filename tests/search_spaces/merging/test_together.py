from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.layers.sources import output_names
from search_spaces.merging.materialise import carried_out, carry_out, carry_out_all
from search_spaces.merging.memory import MergeMemory
from search_spaces.merging.plan import TensorPlan, plan_tensors
from search_spaces.operators.kernels.blocks import alike
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
from search_spaces.recipes.pieces import Pieces
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Rule, Where
from tests.search_spaces.merging.recipes import merge, recipe
from tests.search_spaces.operators.kernels.rules import DTYPES, HeldTensor, by_slow_form, fused_rules, merge_of

NAMES = [f"model.layers.{layer}.mlp.experts.{expert}.up_proj.weight" for layer in (0, 1) for expert in range(3)]


def of_many_tensors(
    shape: tuple[int, ...], n: int, dtypes: Sequence[torch.dtype], *, levels: int = 0, seed: int = 0
) -> Parents:
    """Parents p0, p1, ... and base of several tensors of one shape; few levels make many ties and zeros."""
    generator = torch.Generator().manual_seed(seed)

    def tensor(i: int) -> Tensor:
        values = torch.randn(shape, generator=generator)
        return (values.mul_(levels).round_().div_(levels) if levels else values).to(dtypes[i % len(dtypes)])

    named = [*(f"p{i}" for i in range(n)), "base"]
    return Parents(
        {
            name: Checkpoint(ParentSource(name), Path(name), {}, 0, {t: HeldTensor(tensor(i)) for t in NAMES})
            for i, name in enumerate(named)
        }
    )


def plans_of(rules: Sequence[Rule], parents: Parents, dtype: str = "float32", seed: int = 0) -> list[TensorPlan]:
    sources = {name: checkpoint.source for name, checkpoint in parents.checkpoints.items()}
    made_by = Recipe(sources, "base", tuple(rules), dtype=dtype, seed=seed)  # type: ignore[arg-type]
    return list(plan_tensors(made_by, parents, NAMES).values())


def same_bits(a: Tensor, b: Tensor) -> bool:
    bits = {2: torch.int16, 4: torch.int32}[a.dtype.itemsize]
    return a.dtype == b.dtype and a.shape == b.shape and a.view(bits).equal(b.view(bits))


@settings(max_examples=80, deadline=None)
@given(
    rule=fused_rules(),
    shape=st.sampled_from([(), (5,), (7, 3), (1024,), (33, 32), (2, 3, 4)]),
    dtypes=st.lists(st.sampled_from(DTYPES), min_size=1, max_size=3),
    levels=st.sampled_from([0, 2, 8]),
    dtype=st.sampled_from(["float32", "bfloat16", "float16"]),
    seed=st.integers(0, 50),
)
def test_tensors_merged_together_have_the_bits_of_the_slow_forms(
    rule: Rule, shape: tuple[int, ...], dtypes: list[torch.dtype], levels: int, dtype: str, seed: int
) -> None:
    parents = of_many_tensors(shape, len(rule.inputs), dtypes, levels=levels, seed=seed)
    assume(rule.parameters.get("scope") != "global")  # which counts the tensors of the whole model
    plans = plans_of([rule], parents, dtype, seed)
    try:
        expected = [by_slow_form(plan, parents) for plan in plans]
    except SpaceError as error:
        assume("sum is not 0" not in str(error))
        raise
    assume(all(bool(tensor.isfinite().all()) for tensor in expected))
    for memory in (MergeMemory(repeated=False), MergeMemory()):
        written = [torch.empty(shape) for _ in plans]
        together = carry_out_all(plans, parents, memory=memory)
        carry_out_all(plans, parents, memory=memory, out=written)
        for made, held, wanted in zip(together, written, expected, strict=True):
            assert same_bits(made, wanted)
            assert same_bits(held, wanted.float())


def test_experts_of_one_rule_are_alike_and_of_other_layers_with_other_weights_too() -> None:
    parents = of_many_tensors((4, 6), 2, [torch.bfloat16])
    inputs = tuple(Input(f"p{i}", {"weight": 0.3 + i, "density": 0.5}) for i in range(2))
    other = tuple(replace(i, parameters={**i.parameters, "weight": 0.8}) for i in inputs)
    plans = plans_of([Rule("ties", inputs, where=Where(layers=(0, 1))), Rule("ties", other)], parents)
    merges = [merge_of(plan, parents) for plan in plans]
    assert len({alike(one) for one in merges if one is not None}) == 1
    together = carry_out_all(plans, parents, memory=MergeMemory())
    assert all(same_bits(made, carry_out(plan, parents)) for made, plan in zip(together, plans, strict=True))


def test_of_tensors_merged_together_the_one_that_is_not_finite_is_named() -> None:
    parents = of_many_tensors((4, 6), 2, [torch.float32])
    parents["p1"].tensor(NAMES[2])[1, 1] = torch.inf
    plans = plans_of([Rule("task_arithmetic", (Input("p0", {"weight": 1.0}), Input("p1", {"weight": 1.0})))], parents)
    with pytest.raises(SpaceError, match=rf"^{NAMES[2]}: expected finite values after task_arithmetic"):
        carry_out_all(plans, parents, memory=MergeMemory())


def test_tensors_come_in_the_order_of_their_plans(parents: Parents) -> None:
    slerp = recipe(parents, Rule("slerp", (Input("alpha"), Input("beta")), {"t": 0.3}))
    for r in (merge(parents, alpha=0.5, beta=0.5), merge(parents, "ties", alpha=0.5, beta=0.5), slerp):
        plans = list(plan_tensors(r, parents, output_names(r, parents)).values())
        for made, plan in zip(carried_out(plans, parents, memory=MergeMemory(repeated=False)), plans, strict=True):
            assert same_bits(made, carry_out(plan, parents)), plan.name


def test_pieces_are_merged_together_where_a_tensor_is_of_one(parents: Parents) -> None:
    base = parents["base"]
    size = sum(base.tensor(name).numel() for name in output_names(merge(parents, alpha=1.0), parents))
    pieces = Pieces(("alpha", "beta"), (0, size // 3, size), ((0.25, 0.75), (1.5, -0.5)))
    r = replace(merge(parents, alpha=1.0), rules=(), pieces=pieces)
    plans = list(plan_tensors(r, parents, output_names(r, parents)).values())
    assert {len(plan.pieces or ()) for plan in plans} == {1, 2}
    for made, plan in zip(carry_out_all(plans, parents, memory=MergeMemory()), plans, strict=True):
        a, b = (parents[parent].tensor(plan.name).reshape(-1) for parent in pieces.parents)
        for piece in plan.pieces or ():
            part, (first, second) = slice(piece.start, piece.stop), piece.coefficients
            assert made.reshape(-1)[part].equal(a[part] * first + b[part] * second), plan.name


def test_remembered_origins_change_no_plan(parents: Parents) -> None:
    memory = MergeMemory()
    recipes = [
        merge(parents, alpha=0.5, beta=0.5),
        merge(parents, "ties", alpha=0.5, beta=0.5),
        merge(parents, "ties", alpha=0.5),
        replace(merge(parents, alpha=0.5, beta=0.5), layers=({"alpha": 1, "beta": 0}, {"alpha": 0, "beta": 1})),
        merge(parents, "ties", dtype="bfloat16", seed=3, alpha=0.1, beta=0.9),
    ]
    for r in [*recipes, *recipes]:
        names = output_names(r, parents)
        assert plan_tensors(r, parents, names, origins=memory.origins) == plan_tensors(r, parents, names)
