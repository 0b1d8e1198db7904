"""Merging plain tensors by an operator that reads statistics which the test gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands
from search_spaces.operators.registry import check_rule, find_operator
from search_spaces.recipes.rule import Input, Parameter, Rule


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gram(read: Tensor) -> Tensor:
    """E[x xᵀ] of inputs in rows."""
    return read.mT @ read / read.shape[-2]


def merged(
    operator: str,
    tensors: Sequence[Tensor],
    statistics: Mapping[str, Sequence[Tensor | None]],
    *,
    base: Tensor | None = None,
    inputs: Sequence[Mapping[str, Parameter]] = (),
    **parameters: Parameter,
) -> Tensor:
    """Merge float32 tensors; `statistics` has one of each kind per parent; the base is 0 unless given."""
    each = inputs or [{}] * len(tensors)
    rule = check_rule(Rule(operator, tuple(Input(f"p{i}", values) for i, values in enumerate(each)), parameters))
    return find_operator(operator).merge(
        Operands(
            [tensor.float() for tensor in tensors],
            torch.zeros_like(tensors[0].float()) if base is None else base.float(),
            tuple(i.parameters for i in rule.inputs),
            rule.parameters,
            lambda i: i,
            statistic=lambda i, kind: statistics[kind][i],
        )
    )
