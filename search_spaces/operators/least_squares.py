"""RegMean: the weights whose outputs are nearest to the parents' on what each of them reads.

The statistic of a linear layer is its input's Gram matrix G = E[x xᵀ], (n, n). It is found by its size where a weight
(o, n) keeps its inputs: along the last axis (torch.nn.Linear), along the one before (GPT-2's Conv1D, stored (n, o)), or
over all axes but the first (convolutions: c/groups · kernel = n). Stacks of experts (E, o, n) and groups of
convolutions have a Gram each, (E, n, n), or share one. Where both axes have n elements, a Gram with one more axis of
size 1 before its own two, (1, n, n) or (E, 1, n, n), says that the weight is stored (n, o).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from search_spaces.errors import SpaceError
from search_spaces.operators.averages import normalised
from search_spaces.operators.kernels.form import Form, Merge, Part
from search_spaces.operators.operator import Operands


def regmean(operands: Operands) -> Tensor | Merge:
    """Return the weights W whose outputs are nearest to every parent's on the inputs that this parent saw.

    W minimises Σ wᵢ E‖W x - Wᵢ x‖² over the inputs x of parent i, plus a ridge η Σ sᵢ‖W - Wᵢ‖²:
    W = (Σ wᵢWᵢG̃ᵢ + ηW̄)(Σ wᵢG̃ᵢ + ηI)⁻¹, with G̃ = a·G + (1 - a)·diag(G), a = `off_diagonal`, sᵢ = wᵢ/Σw, W̄ = Σ sᵢWᵢ and
    η = `ridge` · tr(Σ wᵢG̃ᵢ)/n. At a = 0 each input's column is a weighted mean by the power of that input. Tensors
    without a Gram matrix (embeddings, norms, biases, the head) are the weighted mean W̄. A parent alone, and equal
    parents, come back bit for bit. The paper has no ridge; its a is 0.9.

    Raises:
        SpaceError: all weights are 0, a Gram matrix does not fit, or no ridge that small makes the system solvable.

    Reference: Jin et al. 2023, "Dataless Knowledge Fusion by Merging Weights of Language Models" (arXiv 2212.09849),
    equations 1 and 2.
    """
    return _regression(operands, "gram")


def regmean_plus(operands: Operands) -> Tensor | Merge:
    """Return RegMean on Gram matrices of inputs that come from the merged layers before (RegMean++).

    They were collected once, layer by layer through the merge of equal weights, `off_diagonal` 1 and `ridge` 1e-4;
    other settings change the merge of a layer, not the inputs of those after it. See `regmean`.

    Reference: Nguyen et al. 2025, "RegMean++" (arXiv 2508.03121).
    """
    return _regression(operands, "merged_gram")


@torch.no_grad()
def least_squares(
    tensors: Sequence[Tensor],
    grams: Sequence[Tensor],
    weights: Sequence[float],
    share: float = 1.0,
    ridge: float = 1e-4,
) -> Tensor:
    """Return RegMean's weights; formula in `regmean`.

    Args:
        tensors: one weight per parent, of one shape and any floating point dtype.
        grams: their inputs' E[x xᵀ]; see the module on their shapes.
        weights: how much each parent counts, at least 0; those of weight 0 are not read.
        share: a in [0, 1], of the off-diagonal elements that count.
        ridge: ρ above 0, as a share of the mean of the diagonal.

    Returns:
        A new float32 tensor of the weights' shape.

    Raises:
        SpaceError: all weights are 0, a Gram does not fit, or the ridge is too small to solve the system.
    """
    inputs = [i for i, weight in enumerate(weights) if weight != 0.0]
    if len(inputs) == 1:
        return tensors[inputs[0]].to(torch.float32, copy=True)
    return _solved([tensors[i] for i in inputs], [grams[i] for i in inputs], [weights[i] for i in inputs], share, ridge)


@dataclass(frozen=True)
class Layout:
    """How a weight is a stack of matrices whose last axis is the inputs."""

    shape: tuple[int, ...]  # of the weight
    stack: tuple[int, int, int]  # (matrices, o, n)
    input_first: bool  # whether it is stored (..., n, o)

    @staticmethod
    def of(shape: tuple[int, ...], gram: tuple[int, ...]) -> Layout:
        """Return where a weight of a shape keeps the inputs of a Gram of a shape; raise a `SpaceError` if it cannot."""
        n, grams = gram[-1], math.prod(gram[:-2])
        o, last = (math.prod(shape[1:-1]), shape[-1]) if len(shape) > 1 else (0, 0)
        experts = shape[0] if len(shape) == 3 else 1
        if len(shape) in (2, 3) and grams in (1, experts):
            rows = shape[-2]
            marked = len(gram) == len(shape) + 1
            if last == n and not marked:
                return Layout(shape, (experts, rows, n), False)
            if rows == n:
                return Layout(shape, (experts, last, n), True)
        if len(shape) > 2 and o * last == n and shape[0] % grams == 0:
            return Layout(shape, (grams, shape[0] // grams, n), False)
        raise SpaceError(
            f"statistics: expected a Gram matrix that fits weights of shape {shape}, found {gram}; the parent's "
            "statistics were collected from another model"
        )

    def rows(self, weight: Tensor) -> Tensor:
        """Return the weight as (matrices, o, n)."""
        return (weight.mT if self.input_first else weight).reshape(self.stack)

    def restored(self, rows: Tensor) -> Tensor:
        """Return (matrices, o, n) in the weight's own shape."""
        if not self.input_first:
            return rows.reshape(self.shape)
        return rows.reshape(*self.shape[:-2], *self.stack[1:]).mT.contiguous()


def _solved(
    tensors: Sequence[Tensor], grams: Sequence[Tensor], weights: Sequence[float], share: float, ridge: float
) -> Tensor:
    """Solve in residuals from the first parent, W = W₁ + (Σ wᵢDᵢG̃ᵢ + η Σ sᵢDᵢ)(Σ wᵢG̃ᵢ + ηI)⁻¹ with Dᵢ = Wᵢ - W₁.

    Equal parents have residuals of 0, and what rounding does is a share of the parents' differences.
    """
    first = tensors[0].to(torch.float32)
    layout = Layout.of(tuple(first.shape), tuple(grams[0].shape))
    n = layout.stack[-1]
    squares = [gram.reshape(-1, n, n).double() for gram in grams]  # (matrices or 1, n, n)
    shares = normalised(weights)
    total = sum(weight * square for weight, square in zip(weights, squares, strict=True))
    assert isinstance(total, Tensor)
    eta = ridge * total.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    eta = torch.where(eta > 0.0, eta, 1.0)  # nothing was read: the mean
    right = torch.zeros(layout.stack, dtype=torch.float64)
    for tensor, square, weight, part in zip(tensors[1:], squares[1:], weights[1:], shares[1:], strict=True):
        residual = layout.rows(tensor.to(torch.float32) - first).double()
        power = square.diagonal(dim1=-2, dim2=-1)[:, None, :]
        right += weight * (share * (residual @ square) + (1.0 - share) * residual * power) + eta * part * residual
    if share == 0.0:
        step = right / (total.diagonal(dim1=-2, dim2=-1)[:, None, :] + eta)
    else:
        step = _divided(right, _with_off_diagonal(total, share, eta))
    return layout.restored(step.float()).add_(first)


def _with_off_diagonal(total: Tensor, share: float, eta: Tensor) -> Tensor:
    """Return a·S + (1 - a)·diag(S) + ηI."""
    system = share * total
    system.diagonal(dim1=-2, dim2=-1).copy_(total.diagonal(dim1=-2, dim2=-1) + eta[:, 0])
    return system


def _divided(right: Tensor, system: Tensor) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(system)
    if bool(failed.any()):
        raise SpaceError(
            "ridge: expected one at which the sum of the Gram matrices can be inverted, found too small a one; "
            "give a larger, such as 1e-4"
        )
    return torch.cholesky_solve(right.mT, factor).mT


def _regression(operands: Operands, kind: str) -> Tensor | Merge:
    weights = operands.numbers("weight")
    shares = normalised(weights)
    inputs = [i for i, weight in enumerate(weights) if weight != 0.0]
    tensors = [operands.tensors[i] for i in inputs]
    if len(inputs) == 1:
        return tensors[0].to(torch.float32, copy=True)
    grams = _present(operands.statistic, inputs, kind)
    if grams is None:
        return mean_from_first(tensors, [shares[i] for i in inputs])
    used = [weights[i] for i in inputs]
    return least_squares(tensors, grams, used, operands.number("off_diagonal"), operands.number("ridge"))


def _present(
    statistic: Callable[[int, str], Tensor | None] | None, inputs: Sequence[int], kind: str
) -> list[Tensor] | None:
    """Return every input's statistic; None where one has none."""
    if statistic is None:
        return None
    found = [each for each in (statistic(i, kind) for i in inputs) if each is not None]
    return found if len(found) == len(inputs) else None


def mean_from_first(tensors: Sequence[Tensor], shares: Sequence[float]) -> Merge:
    """Return θ₁ + Σ sᵢ(θᵢ - θ₁): the weighted mean, in which equal parents are that parent bit for bit."""
    first, *others = (tensor.reshape(-1) for tensor in tensors)
    form = Form(n_parents=len(others), dtype=torch.float32)
    return Merge(form, tuple(others), first, tuple(Part(share) for share in shares[1:]))
