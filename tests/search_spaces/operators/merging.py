"""Merging plain tensors by a rule, with seeded masks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from evomerge.testing.operator_contract import example_value, random_statistic, random_tensors
from search_spaces.operators.operator import Operator
from search_spaces.operators.registry import Operands, check_rule, find_operator
from search_spaces.recipes.rule import Input, Parameter, Rule
from tests.search_spaces.operators.slow_forms import trim

__all__ = ["example", "merge", "operands", "operands_of", "random_tensors", "rule_of"]


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
    return find_operator(rule.operator).merge(
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
        global_trims=lambda i, density: trim(tensors[i] - base, density),  # type: ignore[operator]
        statistic=lambda i, kind: random_statistic(i, kind, tuple(tensors[i].shape)),
    )


def rule_of(operator: str, *inputs: Mapping[str, Parameter], **parameters: Parameter) -> Rule:
    """A rule whose parents are called p0, p1, ...; `lambda_` stands for lambda."""
    own = {name.rstrip("_"): value for name, value in parameters.items()}
    return Rule(operator, tuple(Input(f"p{i}", values) for i, values in enumerate(inputs)), own)


def example(operator: Operator, **changes: Parameter) -> Rule:
    """A rule with everything that is required, for as many inputs as the operator takes, up to three."""
    required = {name: example_value(name, kind) for name, kind in operator.kinds.items() if kind.default is None}
    values = {name: value for name, value in {**required, **changes}.items() if name in operator.kinds}
    each = {name: value for name, value in values.items() if name in operator.input_parameters}
    own = {name: value for name, value in values.items() if name in operator.parameters}
    n = min(operator.n_inputs[1] or 3, 3)
    return Rule(operator.name, tuple(Input(f"p{i}", each) for i in range(n)), own)


def operands(rule: Rule, shape: tuple[int, ...] = (40, 50), *, size: float = 0.1) -> tuple[list[Tensor], Tensor]:
    """One base, and for each input the base plus noise."""
    base, *tensors = random_tensors(len(rule.inputs) + 1, shape)
    return [base + size * tensor for tensor in tensors], base
