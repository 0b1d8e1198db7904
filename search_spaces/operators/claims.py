"""Consensus merging: only what enough parents claim as their own is merged."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from search_spaces.operators.agreement import agreeing
from search_spaces.operators.operator import Operands
from search_spaces.operators.task_vectors import difference, trimmed


def consensus_ta(operands: Operands) -> Tensor:
    """Return Σ wᵢδᵢ where at least `agreement` parents claim the element, else 0.

    Parent i claims it if |wᵢδᵢ| > λ·|Σⱼwⱼδⱼ - wᵢδᵢ|, λ being `mask_threshold` (its TALL mask). `agreement` 0 is task
    arithmetic; more than there are parents gives the base.

    Reference: Wang et al. 2024, "Localizing Task Information for Improved Model Merging and Compression" (TALL-masks,
    arXiv 2405.07813), equations 3 and 5.
    """
    merged = torch.zeros_like(operands.task_origin)
    for vote in _votes(operands):
        merged.add_(vote)
    return _claimed(operands, merged)


def consensus_ties(operands: Operands) -> Tensor:
    """Return as `consensus_ta` does, with the claims and the result resting on TIES' sum instead of the plain sum.

    The merged task vector is Σ wᵢδ̂ᵢ over the trimmed task vectors of the elected sign, not divided; the parents' own
    task vectors stay whole.

    Reference: Wang et al. 2024 (TALL-masks, arXiv 2405.07813), section 4.
    """
    return _claimed(operands, agreeing(operands, (trimmed(operands, i) for i in range(len(operands.tensors)))))


def _votes(operands: Operands) -> Iterator[Tensor]:
    for i, weight in enumerate(operands.numbers("weight")):
        yield difference(operands, i).mul_(weight)


def _claimed(operands: Operands, merged: Tensor) -> Tensor:
    threshold = operands.number("mask_threshold")
    claims = torch.zeros_like(merged)
    for vote in _votes(operands):
        claims.add_(vote.abs() > (merged - vote).abs_().mul_(threshold))
    return merged.mul_(claims >= operands.number("agreement"))
