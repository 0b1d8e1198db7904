"""RegMean: the weights whose outputs are nearest to the parents' on what each of them reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from search_spaces.operators.averages import normalised
from search_spaces.operators.gram_layout import Layout
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
        SpaceError: all weights are 0, or a Gram matrix does not fit.

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
        grams: their inputs' E[x xᵀ]; `gram_layout` says which shapes fit which weights.
        weights: how much each parent counts, at least 0; those of weight 0 are not read.
        share: a in [0, 1], of the off-diagonal elements that count.
        ridge: ρ above 0, as a share of the mean of the diagonal.

    Returns:
        A new float32 tensor of the weights' shape.

    Raises:
        SpaceError: all weights are 0, or a Gram does not fit.
    """
    inputs = [i for i, weight in enumerate(weights) if weight != 0.0]
    tensors, grams = [tensors[i] for i in inputs], [grams[i] for i in inputs]
    if len(inputs) == 1:
        return tensors[0].to(torch.float32, copy=True)
    layout = Layout.of(tuple(tensors[0].shape), tuple(grams[0].shape))
    first, *others = (layout.rows(tensor.to(torch.float32)) for tensor in tensors)
    residuals = [other - first for other in others]
    system = System.of(grams, [weights[i] for i in inputs], share, ridge)
    products = [_product(residual, gram, system.dtype) for residual, gram in zip(residuals, grams[1:], strict=True)]
    return layout.restored(system.step(residuals, products).add_(first))


# Gram matrices are float32, and so are products that are kept: rounding moves W, in directions that no parent reads,
# by 5e-9 of the parents' differences times ‖S‖/η (measured on SmolLM2's layers). Above this, products are float64.
_FLOAT32_UP_TO = 1e7


@dataclass(frozen=True)
class System:
    """Σ wᵢG̃ᵢ + ηI of some Gram matrices, factorised in float64, and what the right side needs to know of them."""

    weights: tuple[float, ...]  # wᵢ
    share: float  # a
    factor: Tensor  # Cholesky's, (matrices or 1, n, n); of the diagonal alone (·, n) where a is 0
    powers: Tensor  # diag(Gᵢ), (parents, matrices or 1, n)
    eta: Tensor  # (matrices or 1,)
    dtype: torch.dtype  # of the products DᵢGᵢ

    @property
    def nbytes(self) -> int:
        """How many bytes it takes."""
        return self.factor.nbytes + self.powers.nbytes

    @staticmethod
    def of(grams: Sequence[Tensor], weights: Sequence[float], share: float, ridge: float) -> System:
        """Factorise; raise a `SpaceError` where all weights are 0."""
        normalised(weights)
        n = grams[0].shape[-1]
        total = torch.zeros(())
        for gram, weight in zip(grams, weights, strict=True):
            total = total + weight * gram.reshape(-1, n, n).double()
        powers = torch.stack([gram.reshape(-1, n, n).diagonal(dim1=-2, dim2=-1).double() for gram in grams])
        whole = total.diagonal(dim1=-2, dim2=-1).clone()
        eta = ridge * whole.mean(-1)
        eta = torch.where(eta > 0.0, eta, 1.0)  # nothing was read: the mean
        total.mul_(share).diagonal(dim1=-2, dim2=-1).copy_(whole + eta[:, None])
        condition = float((torch.linalg.matrix_norm(total) / eta).max())
        dtype = torch.float32 if condition <= _FLOAT32_UP_TO else torch.float64
        factor = total.diagonal(dim1=-2, dim2=-1).clone() if share == 0.0 else _factorised(total, eta)
        return System(tuple(weights), share, factor, powers, eta, dtype)

    def step(self, residuals: Sequence[Tensor], products: Sequence[Tensor]) -> Tensor:
        """Return W - W₁ = (Σ wᵢDᵢG̃ᵢ + η Σ sᵢDᵢ)(Σ wᵢG̃ᵢ + ηI)⁻¹, (matrices, o, n), for Dᵢ = Wᵢ - W₁ and DᵢGᵢ, i > 1.

        Equal parents have residuals of 0, and what rounding does is a share of the parents' differences.
        """
        right = torch.zeros_like(residuals[0], dtype=self.dtype)
        shares = normalised(self.weights)
        for i, (residual, product) in enumerate(zip(residuals, products, strict=True), start=1):
            columns = (1.0 - self.share) * self.weights[i] * self.powers[i] + self.eta[:, None] * shares[i]
            right.addcmul_(residual.to(self.dtype), columns[:, None].to(self.dtype))
            right.add_(product.to(self.dtype), alpha=self.share * self.weights[i])
        if self.share == 0.0:
            return (right / self.factor[:, None]).to(torch.float32)
        step: Tensor = torch.cholesky_solve(right.double().mT, self.factor).mT.float()
        return step


def _factorised(system: Tensor, eta: Tensor) -> Tensor:
    """Return the Cholesky factor; Grams are kept in float32, whose rounding may outweigh a small ridge.

    No eigenvalue of S + ηI is below η: those that rounding put there are lifted back to it.
    """
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(system)
    if bool(failed.any()):
        values, vectors = torch.linalg.eigh(system)
        lifted = torch.maximum(values, eta.reshape(-1, 1))
        factor = torch.linalg.cholesky((vectors * lifted[:, None]) @ vectors.mT)
    return factor


def _product(residual: Tensor, gram: Tensor, dtype: torch.dtype) -> Tensor:
    """Return DG, (matrices, o, n), computed in float64."""
    n = gram.shape[-1]
    return (residual.double() @ gram.reshape(-1, n, n).double()).to(dtype)


def _regression(operands: Operands, kind: str) -> Tensor | Merge:
    weights = operands.numbers("weight")
    shares = normalised(weights)
    inputs = [i for i, weight in enumerate(weights) if weight != 0.0]
    tensors = [operands.tensors[i] for i in inputs]
    if len(inputs) == 1:
        return tensors[0].to(torch.float32, copy=True)
    grams = present(operands.statistic, inputs, kind)
    if grams is None:
        return mean_from_first(tensors, [shares[i] for i in inputs])
    layout = Layout.of(tuple(tensors[0].shape), tuple(grams[0].shape))
    first, *others = (layout.rows(tensor) for tensor in tensors)
    residuals = [other - first for other in others]
    system = _recalled_system(operands, kind, inputs, grams)
    products = [
        _recalled_product(operands, (inputs[0], i), kind, residual, gram)
        if system.dtype is torch.float32
        else _product(residual, gram, system.dtype)
        for i, residual, gram in zip(inputs[1:], residuals, grams[1:], strict=True)
    ]
    return layout.restored(system.step(residuals, products).add_(first))


def _recalled_system(operands: Operands, kind: str, inputs: Sequence[int], grams: Sequence[Tensor]) -> System:
    """Return the system, factorised once for all weights of a candidate that share their inputs, as q, k and v do."""
    numbers = tuple(operands.number(name) for name in ("off_diagonal", "ridge"))
    weights = tuple(operands.numbers("weight")[i] for i in inputs)

    def compute() -> System:
        return System.of(grams, weights, *numbers)

    if operands.recent is None:
        return compute()
    return operands.recent(("least squares", weights, numbers), [(i, kind) for i in inputs], compute)


def _recalled_product(operands: Operands, pair: tuple[int, int], kind: str, residual: Tensor, gram: Tensor) -> Tensor:
    """Return DᵢGᵢ of the pair (1, i) in float32, kept between candidates: they differ in what it is multiplied by."""

    def compute() -> tuple[Tensor, ...]:
        return (_product(residual, gram, torch.float32),)

    if operands.factors is None:
        return compute()[0]
    return operands.factors("residual times gram", pair, compute, statistics=[(pair[1], kind)])[0]


def present(
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
