"""Task vectors whose singular components are scaled at random: mutations that can be made again from their numbers."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands
from search_spaces.operators.spectral.matrices import Matrices, merge_matrices

_ODD = 0x9E3779B97F4A7C15  # spreads the numbers of draws over all seeds


def rank_scaled(operands: Operands) -> Tensor:
    """Return τ = Σ wᵢδ̂ᵢ: δ̂ᵢ is δᵢ where `draw` is 0, else U diag(r ∘ s) Vᵀ of δᵢ = U diag(s) Vᵀ with rⱼ ~ U[0, 1).

    A parent may be given several times, with other draws. r depends on the recipe's seed, the draw, the parent and the
    tensor; it is drawn per matrix. Tensors without a spectrum get the sum of wᵢδᵢ over the inputs without a draw.

    Reference: Kuroki et al. 2024, "Agent Skill Acquisition via CycleQD" (arXiv 2410.14735), section 3.3: its mutation
    adds wᵢδ̂ᵢ with w = 0.1 to a model.
    """
    return merge_matrices(operands, _scaled, _undrawn)


def _scaled(matrices: Matrices) -> Tensor:
    operands = matrices.operands
    total = torch.zeros_like(matrices.delta(0))
    scales: dict[Hashable, tuple[int, Tensor]] = {}  # parent -> one of its inputs, and Σ wr over its draws
    for j, i in enumerate(matrices.inputs):
        weight, draw = operands.numbers("weight")[i], int(operands.inputs[i]["draw"])
        if not draw:
            total.add_(matrices.delta(j), alpha=weight)
            continue
        generator = torch.Generator().manual_seed((operands.seeds(i) + draw * _ODD + (matrices.expert or 0)) % 2**63)
        drawn = torch.rand(matrices.rank, generator=generator, dtype=torch.float64).mul_(weight)
        key = operands.keys[i] if operands.keys else i
        first, before = scales.get(key, (j, torch.zeros_like(drawn)))
        scales[key] = first, before + drawn
    for j, scale in scales.values():
        found = matrices.svd(j)
        total.add_(found.product(found.s * scale[: len(found.s)].to(found.s)))
    return total


def _undrawn(operands: Operands, inputs: tuple[int, ...]) -> Tensor:
    origin, total = operands.task_origin, torch.zeros_like(operands.task_origin)
    for i in inputs:
        if not operands.inputs[i]["draw"]:
            total.add_(operands.tensors[i] - origin, alpha=operands.numbers("weight")[i])
    return total
