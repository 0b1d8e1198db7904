"""What composes with every operator on task vectors: parents seen from their mean, cut to a rank, a merge calibrated.

`Operator.apply` calls both functions, before its method and after it; with their parameters at the defaults neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from search_spaces.operators.kernels.blocks import merged_deltas
from search_spaces.operators.kernels.form import Merge
from search_spaces.operators.operator import Operands, Recall
from search_spaces.operators.spectral.decomposition import Svd, svd
from search_spaces.operators.spectral.matrices import Matrices, has_spectrum, taking_part


def recentred(operands: Operands) -> Operands:
    """Return operands whose task vectors start at the parents' mean (`centre`) and are cut to a rank.

    The mean is that of all the rule's parents, whatever their weights. `cart_rank_share` of a matrix's min(o, n)
    singular components are kept, at least one; tensors without a spectrum are not cut.

    Reference: Choi et al. 2024, "Revisiting Weight Averaging for Model Merging" (CART, arXiv 2412.12153), equation 4.
    """
    share = float(operands.parameters.get("cart_rank_share", 1.0))
    if operands.parameters.get("centre") == "mean":
        operands = _about_the_mean(operands)
    return _cut(operands, share) if share < 1.0 and has_spectrum(operands) else operands


def calibrated(operands: Operands, made: Tensor | Merge) -> Tensor:
    """Return the merged task vector τ = U S Vᵀ with singular values γS: what parents have in common counts once.

    With aᵢᵣ = uᵣᵀδᵢ, what the i-th parent says along uᵣ, and aᵣ = uᵣᵀτ, sᵢᵣ = ⟨aᵣ, aᵢᵣ⟩/‖aᵢᵣ‖² is how often the merge
    says it; γᵣ = N / Σ max(α, sᵢᵣ) over the N parents that say anything there (whose aᵢᵣ is more than rounding noise).
    α is `svc_alpha`: 1 only ever lessens, below 1 raises what is said too faintly. δᵢ are not weighted, and the gain
    comes afterwards. Where no parent speaks, and in tensors without a spectrum, τ stays as it is.

    The authors' code divides by max(α, mean sᵢᵣ) where all sᵢᵣ are positive, and by 1 elsewhere; FusionBench's takes
    each parent's own singular vectors for uᵣ. Here it is the paper's.

    Reference: Li et al. 2026, "When Shared Knowledge Hurts" (SVC, arXiv 2602.05536), equations 4 to 9.
    """
    shape = operands.tensors[0].shape
    merged = made if isinstance(made, Tensor) else merged_deltas(made).view(shape)
    if not has_spectrum(operands):
        return merged
    weighted = all("weight" in given for given in operands.inputs)
    inputs = taking_part(operands) if weighted else tuple(range(len(operands.tensors)))
    origin, floor = operands.task_origin, operands.number("svc_alpha")

    def calibrate(matrix: Tensor, e: int | None) -> Tensor:
        parents = (operands.tensors[i] if e is None else operands.tensors[i][e] for i in inputs)
        start = (origin if e is None else origin[e]).to(matrix.dtype)
        return _calibrated(matrix, (parent.to(matrix.dtype) - start for parent in parents), floor)

    if merged.ndim == 2:
        return calibrate(merged, None)
    return torch.stack([calibrate(matrix, e) for e, matrix in enumerate(merged)])


def _calibrated(merged: Tensor, deltas: Iterable[Tensor], floor: float) -> Tensor:
    found = svd(merged)
    # speaking, said: (r,), the number of parents that count for each component, and the sum of max(α, s) over them
    speaking, said = torch.zeros_like(found.s), torch.zeros_like(found.s)
    noise = max(merged.shape) * torch.finfo(torch.float32).eps
    for delta in deltas:
        response = found.u.T @ delta
        power = response.square().sum(1)
        counts = power > (noise * torch.linalg.matrix_norm(delta)).square()
        often = found.s * (found.vh * response).sum(1) / power
        speaking += counts
        said += torch.where(counts, often.clamp(min=floor), 0.0)
    excess = torch.where(speaking > 0, speaking / said - 1.0, 0.0)
    return merged + found.product(found.s * excess)


def _about_the_mean(operands: Operands) -> Operands:
    n = len(operands.tensors)
    parents = [tensor.to(torch.promote_types(tensor.dtype, torch.float32)) for tensor in operands.tensors]
    excess = torch.zeros_like(parents[0])
    for parent in parents[1:]:
        excess.add_(parent - parents[0])
    mean = excess.div_(n).add_(parents[0])  # of equal parents, bit for bit any of them
    keys = tuple(operands.keys)
    return replace(
        operands,
        tensors=tuple(parents),
        base=mean,
        keys=[("about the mean", keys, key) for key in keys],
        # The mean follows from all parents, whatever else is computed of some.
        factors=_recalling(operands.factors, lambda inputs: f"of {list(inputs)} about the mean", range(n)),
    )


def _cut(operands: Operands, share: float) -> Operands:
    origin = operands.task_origin
    origin = origin.to(torch.promote_types(origin.dtype, torch.float32))
    inputs = tuple(range(len(operands.tensors)))
    experts = [None] if origin.ndim == 2 else list(range(len(origin)))
    precise = replace(operands, tensors=tuple(t.to(origin.dtype) for t in operands.tensors), base=origin)
    matrices = [Matrices(precise, inputs, e) for e in experts]
    rank = max(1, int(share * matrices[0].rank))

    def kept(i: int) -> Tensor:
        parts: list[Svd] = [each.svd(i).part(0, rank) for each in matrices]
        found = torch.stack([part.product(part.s) for part in parts]).view(origin.shape)
        return found.add_(origin)

    factors = _recalling(operands.factors, lambda _: f"cut to rank {rank}")
    # Thresholds of cut task vectors are not remembered: there would be a table of them for every rank.
    return replace(precise, tensors=tuple(kept(i) for i in inputs), keys=(), memory=None, factors=factors)


def _recalling(
    known: Recall | None, said: Callable[[Sequence[int]], str], read: Sequence[int] | None = None
) -> Recall | None:
    """Return a memory of what follows from changed task vectors: named by the change, of all that it `read`."""
    if known is None:
        return None

    def recall(
        what: str,
        inputs: Sequence[int],
        compute: Callable[[], tuple[Tensor, ...]],
        *,
        statistics: Sequence[tuple[int, str]] = (),
    ) -> tuple[Tensor, ...]:
        return known(f"{what}, {said(inputs)}", inputs if read is None else read, compute, statistics=statistics)

    return recall
