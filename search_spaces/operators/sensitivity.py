"""Task arithmetic whose weights follow how sensitive each parent is to each layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from search_spaces.operators.kernels.form import Merge
from search_spaces.operators.operator import Operands
from search_spaces.operators.task_vectors import pipeline


def sens_merging(operands: Operands) -> Merge:
    """Return τ = Σ wᵢNσᵢδᵢ, σ = softmaxᵢ(αᵢtᵢ/T) over the N parents of a weight other than 0.

    With `normalize` it is divided by Σ wᵢNσᵢ. αᵢ is Σ|θ⊙∇L| over the tensor's layer, scaled so that the squares of a
    parent's layers sum to 1; outside the layers their mean. tᵢ is the mean distance of the parent's logits to every
    other parent's on that parent's task, to the power `transfer`, as a share of all parents'. The paper's words call t
    an alignment, its formula and code let distance raise the weight: `transfer` 1 is the formula, -1 the words, 0
    leaves t out. Products αᵢtᵢ are small beside T = 2, so that the published settings differ little from task
    arithmetic of equal weights; search T lower. Tensors without a sensitivity have equal σ: τ is Σ wᵢδᵢ.

    Reference: Liu et al. 2025, "Sens-Merging" (arXiv 2502.12420), section 3, with the factor N of its code.
    """
    taking_part = [i for i, weight in enumerate(operands.numbers("weight")) if weight != 0.0]
    balance = dict(zip(taking_part, _balance(operands, taking_part), strict=True))
    inputs = tuple(
        {**each, "weight": float(each["weight"]) * balance.get(i, 1.0)} for i, each in enumerate(operands.inputs)
    )
    return pipeline(replace(operands, inputs=inputs), "all", "sum")


def _balance(operands: Operands, inputs: Sequence[int]) -> list[float]:
    """Return Nσᵢ; 1 each where nothing is known of the tensor."""
    found = [None if operands.statistic is None else operands.statistic(i, "sensitivity") for i in inputs]
    known = [(*each.reshape(-1).cpu().tolist(), 1.0)[:2] for each in found if each is not None]
    if len(known) < len(inputs) or not inputs:
        return [1.0] * len(inputs)
    power = operands.number("transfer")
    # Powers of shares of the largest, so that none overflows; parents that do not differ count alike.
    most = max(t for _, t in known)
    far = [max(t / most, 1e-6) ** power if most > 0.0 else 1.0 for _, t in known]
    scores = [
        alpha * t / (math.fsum(far) * operands.number("temperature")) for (alpha, _), t in zip(known, far, strict=True)
    ]
    exponentials = [math.exp(score - max(scores)) for score in scores]
    return [len(inputs) * each / math.fsum(exponentials) for each in exponentials]
