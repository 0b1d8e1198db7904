"""Model Stock: how far to go from the base to the mean of its fine-tunes, told by the angles between them."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from search_spaces.operators.operator import Operands


def model_stock(operands: Operands) -> Tensor:
    """Return τ = t·mean δᵢ, t = N·c / (1 + (N - 1)·c), c the mean cosine between the N task vectors of one tensor.

    Parallel task vectors give t = 1, orthogonal ones t = 0. A zero task vector counts as orthogonal to all; mergekit
    shrinks the cosine of any pair with ‖δᵢ‖‖δⱼ‖ < 1e-6 as well. `filter_wise` takes one t per row. λ multiplies t.

    Reference: Jang et al. 2024, "Model Stock" (arXiv 2403.19522), equation 2 and appendix A.
    """
    by_row = bool(operands.parameters["filter_wise"]) and operands.task_origin.dim() > 1
    shape = operands.task_origin.shape
    deltas = [(t - operands.task_origin).reshape(shape[0] if by_row else 1, -1) for t in operands.tensors]
    cosine = _mean_cosine(deltas, angles=operands.parameters["mean_of"] == "angles")
    n = len(deltas)
    divisor = 1.0 + (n - 1) * cosine
    ratio = n * cosine / torch.where(divisor.abs() < 1e-9, 1.0, divisor)
    if operands.parameters["clamp"]:
        ratio = ratio.clamp(0.0, 1.0)
    mean = deltas[0]
    for delta in deltas[1:]:
        mean += delta
    return mean.mul_((ratio / n).to(mean.dtype)).view(shape)


def _mean_cosine(deltas: list[Tensor], *, angles: bool) -> Tensor:
    """Return the mean over all pairs, float64 (rows, 1); of the angles' cosine if `angles`."""
    norms = [torch.linalg.vector_norm(delta, dim=1, keepdim=True, dtype=torch.float64) for delta in deltas]
    pairs = []
    for (a, norm_a), (b, norm_b) in itertools.combinations(zip(deltas, norms, strict=True), 2):
        product = norm_a * norm_b
        dot = torch.sum(a * b, dim=1, keepdim=True, dtype=torch.float64)
        cosine = torch.where(product > 0.0, dot / torch.where(product > 0.0, product, 1.0), 0.0).clamp(-1.0, 1.0)
        pairs.append(torch.where(product > 0.0, torch.acos(cosine), math.pi / 2) if angles else cosine)
    mean = torch.stack(pairs).mean(dim=0)
    return torch.cos(mean) if angles else mean
