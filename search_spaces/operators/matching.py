"""MaTS: parents matched where their outputs, and the loss behind them, feel it, by conjugate gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from search_spaces.operators.averages import normalised
from search_spaces.operators.gram_layout import Layout
from search_spaces.operators.least_squares import present
from search_spaces.operators.operator import Operands

# What is left of the equations, as a share of their right side, at which they count as solved.
SOLVED = 1e-5


def mats(operands: Operands) -> Tensor:
    """Return τ after some steps of conjugate gradients towards Σ wᵢBᵢτÃᵢ = Σ wᵢBᵢδᵢÃᵢ.

    Aᵢ = E[x xᵀ] is of the layer's inputs, Ã has its off-diagonal elements times `off_diagonal`, Bᵢ = E[g gᵀ] of the
    gradients at its outputs: their Kronecker product approximates the Fisher information of the layer. Without
    `outputs` B is the identity, and the solution is RegMean's without a ridge. No inverse is needed: in directions that
    nobody reads τ stays at its start, and few steps stay near it. Steps are preconditioned by the diagonal
    Σ wᵢ diag(Bᵢ) ⊗ diag(Aᵢ), and end once the equations hold to 1e-5. The paper starts at task arithmetic, 0.3 of the
    sum. Tensors without a Gram matrix get the weighted mean.

    Raises:
        SpaceError: all weights are 0, or a Gram matrix does not fit.

    Reference: Tam et al. 2024, "Merging by Matching Models in Task Parameter Subspaces" (arXiv 2312.04339), section 4.
    """
    weights = operands.numbers("weight")
    shares = normalised(weights)
    inputs = [i for i, weight in enumerate(weights) if weight != 0.0]
    deltas = [operands.tensors[i] - operands.task_origin for i in inputs]
    start = deltas[0].clone()
    for i, delta in zip(inputs[1:], deltas[1:], strict=True):
        start.add_(delta - deltas[0], alpha=shares[i])
    grams = present(operands.statistic, inputs, "gram")
    if grams is None:
        return start
    if operands.parameters["start"] == "sum":
        start.mul_(operands.number("start_scale") * sum(weights))
    layout = Layout.of(tuple(start.shape), tuple(grams[0].shape))
    outputs = present(operands.statistic, inputs, "output_gram") if operands.parameters["outputs"] else None
    equations = _Equations.of(operands, layout, [weights[i] for i in inputs], grams, outputs)
    steps = int(operands.parameters["iterations"])
    return layout.restored(_descend(equations, layout.rows(start), [layout.rows(d) for d in deltas], steps))


class _Equations:
    """X ↦ Σ wᵢBᵢXAᵢ of (matrices, o, n)."""

    def __init__(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor | None]) -> None:
        """Take Aᵢ (matrices or 1, n, n) and wᵢBᵢ (matrices or 1, o, o); None: the identity, with wᵢ in Aᵢ."""
        self._terms = list(zip(outputs, inputs, strict=True))
        alike = all(output is None for output in outputs)
        self._total = torch.stack(list(inputs)).sum(0) if alike else None

    @staticmethod
    def of(
        operands: Operands,
        layout: Layout,
        weights: Sequence[float],
        grams: Sequence[Tensor],
        outputs: Sequence[Tensor] | None,
    ) -> _Equations:
        o, n = layout.stack[1:]
        share = operands.number("off_diagonal")
        read = [gram.reshape(-1, n, n).to(torch.float32) for gram in grams]
        lessened = [share * a + (1.0 - share) * torch.diag_embed(a.diagonal(dim1=-2, dim2=-1)) for a in read]
        if outputs is None:
            return _Equations([w * a for w, a in zip(weights, lessened, strict=True)], [None] * len(weights))
        felt = [w * b.reshape(-1, o, o).to(torch.float32) for w, b in zip(weights, outputs, strict=True)]
        return _Equations(lessened, felt)

    def applied(self, to: Tensor) -> Tensor:
        """Return the left side for one X."""
        return to @ self._total if self._total is not None else self.applied_each([to] * len(self._terms))

    def applied_each(self, to: Sequence[Tensor]) -> Tensor:
        """Return Σ wᵢBᵢXᵢAᵢ."""
        terms = zip(to, self._terms, strict=True)
        return torch.stack([x @ a if b is None else b @ (x @ a) for x, (b, a) in terms]).sum(0)

    def diagonal(self, like: Tensor) -> Tensor:
        """Return what the equations multiply each element of X by, 1 where that is 0."""
        ones = torch.ones(like.shape[-2])
        found = torch.zeros_like(like)
        for b, a in self._terms:
            rows = ones if b is None else b.diagonal(dim1=-2, dim2=-1)
            found += rows[..., :, None] * a.diagonal(dim1=-2, dim2=-1)[..., None, :]
        return torch.where(found > 0.0, found, 1.0)


def _descend(equations: _Equations, start: Tensor, wanted: Sequence[Tensor], steps: int) -> Tensor:
    """Return X after some steps of preconditioned conjugate gradients (Golub and Van Loan, algorithm 11.5.1)."""
    x, diagonal = start.clone(), equations.diagonal(start)
    enough = SOLVED * float(torch.linalg.vector_norm(equations.applied_each(wanted)))
    left = equations.applied_each([each - x for each in wanted])
    scaled = left / diagonal
    direction, size = scaled.clone(), _dot(left, scaled)
    for _ in range(steps):
        if size <= 0.0 or float(torch.linalg.vector_norm(left)) <= enough:
            break
        image = equations.applied(direction)
        curvature = _dot(direction, image)
        if curvature <= 0.0:  # rounding: nothing that anybody reads is left
            break
        x.add_(direction, alpha=size / curvature)
        left.sub_(image, alpha=size / curvature)
        torch.div(left, diagonal, out=scaled)
        before, size = size, _dot(left, scaled)
        direction.mul_(size / before).add_(scaled)
    return x


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.sum(a * b, dtype=torch.float64))
