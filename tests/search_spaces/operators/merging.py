"""Merging plain tensors by a rule, with seeded masks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from search_spaces.operators.registry import Operands, check_rule, operator_named
from search_spaces.recipe import Input, Parameter, Rule


def merge(rule: Rule, tensors: Sequence[Tensor], base: Tensor | None, *, seed: int = 0) -> Tensor:
    """Merge by a rule; masks are seeded by (seed, the digits of the parent's name)."""
    rule = check_rule(rule)

    def generator(i: int) -> torch.Generator:
        return torch.Generator().manual_seed(1000 * seed + int(rule.inputs[i].parent.lstrip("p")))

    return operator_named(rule.operator).merge(
        Operands(tuple(tensors), base, tuple(i.parameters for i in rule.inputs), rule.parameters, generator)
    )


def rule_of(operator: str, *inputs: dict[str, Parameter], **parameters: Parameter) -> Rule:
    """A rule whose parents are called p0, p1, ...; `lambda_` stands for lambda."""
    own = {name.rstrip("_"): value for name, value in parameters.items()}
    return Rule(operator, tuple(Input(f"p{i}", values) for i, values in enumerate(inputs)), own)


def random_tensors(n: int, shape: tuple[int, ...], *, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(n)]
