"""Merging plain tensors by a rule, with seeded masks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from search_spaces.operators import sparsify
from search_spaces.operators.operator import Operator
from search_spaces.operators.parameters import Kind
from search_spaces.operators.registry import Operands, check_rule, operator_named
from search_spaces.recipe import Input, Parameter, Rule

# What `example` gives parameters without a default, where the middle of their gene will not do.
REQUIRED: dict[str, Parameter] = {"weight": 0.5, "t": 0.3, "metric": 2.0}


def merge(
    rule: Rule,
    tensors: Sequence[Tensor],
    base: Tensor | None,
    *,
    seed: int = 0,
    name: str = "",
    layer: tuple[int, int] | None = None,
) -> Tensor:
    """Merge by a rule; masks are seeded by (seed, the parent's name); the tensor is the whole model."""
    return operator_named(rule.operator).merge(
        replace(operands_of(rule, tensors, base, seed=seed), name=name, layer=layer)
    )


def operands_of(rule: Rule, tensors: Sequence[Tensor], base: Tensor | None, *, seed: int = 0) -> Operands:
    rule = check_rule(rule)

    def mask_seed(i: int) -> int:
        name = f"{seed} {rule.inputs[i].parent}"
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])

    return Operands(
        tuple(tensors),
        base,
        tuple(i.parameters for i in rule.inputs),
        rule.parameters,
        mask_seed,
        global_trims=lambda i, density: sparsify.trim(tensors[i] - base, density),  # type: ignore[operator]
    )


def rule_of(operator: str, *inputs: Mapping[str, Parameter], **parameters: Parameter) -> Rule:
    """A rule whose parents are called p0, p1, ...; `lambda_` stands for lambda."""
    own = {name.rstrip("_"): value for name, value in parameters.items()}
    return Rule(operator, tuple(Input(f"p{i}", values) for i, values in enumerate(inputs)), own)


def example(operator: Operator, **changes: Parameter) -> Rule:
    """A rule with everything that is required, for as many inputs as the operator takes, up to three."""
    n = min(operator.n_inputs[1] or 3, 3)
    required = {name: _required(name, kind) for name, kind in operator.kinds.items() if kind.default is None}
    values = {name: value for name, value in {**required, **changes}.items() if name in operator.kinds}
    inputs = tuple(
        Input(f"p{i}", {name: value for name, value in values.items() if name in operator.input_parameters})
        for i in range(n)
    )
    own = {name: value for name, value in values.items() if name in operator.parameters}
    return Rule(operator.name, inputs, own)


def _required(name: str, kind: Kind) -> Parameter:
    if name in REQUIRED:
        return REQUIRED[name]
    assert kind.gene is not None
    return kind.scale_of(kind.gene, name).value(0.5)


def random_tensors(n: int, shape: tuple[int, ...], *, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(n)]


def operands(rule: Rule, shape: tuple[int, ...] = (40, 50), *, size: float = 0.1) -> tuple[list[Tensor], Tensor]:
    """One base, and for each input the base plus noise."""
    base, *tensors = random_tensors(len(rule.inputs) + 1, shape)
    return [base + size * tensor for tensor in tensors], base
