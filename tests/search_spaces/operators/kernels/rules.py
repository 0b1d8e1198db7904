"""Rules and parents for the tests of the kernels: one tensor, held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from hypothesis import strategies as st
from torch import Tensor

from search_spaces.merging.plan import TensorPlan, plan_tensor
from search_spaces.operators.kernels.form import Merge
from search_spaces.operators.registry import OPERATORS, Operands, find_operator
from search_spaces.parents.checkpoint import Checkpoint
from search_spaces.parents.parents import Parents
from search_spaces.recipes.recipe import ParentSource, Recipe
from search_spaces.recipes.rule import Input, Parameter, Rule
from tests.search_spaces.operators import slow_forms

NAME = "model.layers.1.mlp.up_proj.weight"
DTYPES = (torch.float32, torch.bfloat16, torch.float16)

# Those that read statistics have slow forms in tests of their own.
FUSED = tuple(name for name, operator in OPERATORS.items() if operator.elementwise and not operator.statistics)


@dataclass(frozen=True)
class HeldTensor:
    """A lazy tensor that is in memory."""

    tensor: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    @property
    def dtype(self) -> torch.dtype:
        return self.tensor.dtype

    def read(self) -> Tensor:
        return self.tensor


def held(tensors: Sequence[Tensor], base: Tensor) -> Parents:
    """Parents p0, p1, ... and base, each of one tensor, in the second of three layers."""
    named = {**{f"p{i}": tensor for i, tensor in enumerate(tensors)}, "base": base}
    last = HeldTensor(torch.zeros(1))
    return Parents(
        {
            name: Checkpoint(ParentSource(name), Path(name), {}, 0, {NAME: HeldTensor(t), "model.layers.2.x": last})
            for name, t in named.items()
        }
    )


def plan_of(rule: Rule, parents: Parents, *, dtype: str = "float32", seed: int = 0) -> TensorPlan:
    sources = {name: checkpoint.source for name, checkpoint in parents.checkpoints.items()}
    recipe = Recipe(sources, "base", (rule,), dtype=dtype, seed=seed)  # type: ignore[arg-type]
    return plan_tensor(recipe, parents, NAME)


def operands_of(plan: TensorPlan, parents: Parents) -> Operands:
    """The whole tensors in float32, nothing remembered."""
    assert plan.rule is not None
    tensors = tuple(parents[parent].tensor(name).float() for parent, name in plan.sources)
    base = None if plan.base is None else parents["base"].tensor(plan.base[1]).float()
    return Operands(
        tensors,
        base,
        tuple(i.parameters for i in plan.rule.inputs),
        plan.rule.parameters,
        plan.mask_seed,
        name=plan.name,
        layer=plan.layer,
        global_trims=lambda i, density: slow_forms.trim(tensors[i] - base, density),  # type: ignore[operator]
    )


def by_slow_form(plan: TensorPlan, parents: Parents) -> Tensor:
    """What the oracle makes of the whole tensors."""
    assert plan.rule is not None
    return slow_forms.slow_merge(plan.rule.operator, operands_of(plan, parents)).to(plan.dtype)


def merge_of(plan: TensorPlan, parents: Parents) -> Merge | None:
    """What the kernels are to do; None where nothing is merged, for λ = 0."""
    assert plan.rule is not None
    stored = replace(
        operands_of(plan, parents),
        tensors=tuple(parents[parent].tensor(name) for parent, name in plan.sources),
        base=None if plan.base is None else parents["base"].tensor(plan.base[1]),
    )
    made = find_operator(plan.rule.operator).apply(stored)
    return made.rounded_to(plan.dtype) if isinstance(made, Merge) else None


def random_parents(
    shape: tuple[int, ...], n: int, dtypes: Sequence[torch.dtype], *, levels: int = 0, seed: int = 0
) -> Parents:
    """n parents and a base, their dtypes in turn; few levels make many ties and zeros."""
    generator = torch.Generator().manual_seed(seed)

    def tensor(i: int) -> Tensor:
        values = torch.randn(shape, generator=generator)
        if levels:
            values = values.mul_(levels).round_().div_(levels)
        return values.to(dtypes[i % len(dtypes)])

    return held([tensor(i) for i in range(n)], tensor(n))


@st.composite
def fused_rules(draw: st.DrawFn, names: Sequence[str] = FUSED) -> Rule:
    """A rule of an elementwise operator."""
    operator = OPERATORS[draw(st.sampled_from(names))]
    fewest, most = operator.n_inputs
    n = draw(st.integers(fewest, most or 4))

    def value(name: str) -> Parameter:
        drawn: dict[str, st.SearchStrategy[Parameter]] = {
            "weight": st.sampled_from([0.0, 0.3, 1.0, -0.5, 0.7, 1.3]),
            "density": st.one_of(st.sampled_from([1.0, 0.5, 1 / 256]), st.floats(0.01, 1.0)),
            "epsilon": st.floats(0.0, 0.3),
            "gamma": st.floats(0.0, 0.3),
            "lambda": st.sampled_from([1.0, 0.7, -0.4, 0.0]),
            "rescale": st.sampled_from(["density", "none", "l1"]),
            "second_trim": st.sampled_from([1.0, 0.5, 0.2]),
            "select_topk": st.sampled_from([1.0, 0.5, 0.25, 3 / 256, 0.1, 0.003]),
            "t": st.floats(-0.5, 1.5).map(lambda t: round(t, 6)),
            "alpha": st.floats(0.0, 1.0).map(lambda alpha: round(alpha, 6)),
            "metric": st.floats(0.5, 3.0),
            "scale": st.sampled_from([1.0, 0.5, -1.0]),
        }
        if name in drawn:
            return draw(drawn[name])
        choices = getattr(operator.kinds[name], "choices", (False, True))
        if name in ("normalize", "divisor", "zero_sign", "scope", "select", "sparsify", "consensus", "priority_only"):
            return draw(st.sampled_from(choices))
        default = operator.kinds[name].default
        assert default is not None
        return default

    inputs = tuple(Input(f"p{i}", {name: value(name) for name in operator.input_parameters}) for i in range(n))
    return Rule(operator.name, inputs, {name: value(name) for name in operator.parameters})
