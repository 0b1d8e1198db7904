"""What coefficients do to tensors that lie in parents' files, block by block: inner products, and column by column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

_BLOCK = 1 << 18  # elements, which fit a core's cache in float32
_BLOCK_ELSEWHERE = 1 << 26  # on an accelerator, where a block is a transfer


def inner_products(gradient: Tensor, tensors: Sequence[Tensor], origin: Tensor | None, *, by_column: bool) -> Tensor:
    """Return <g, δᵢ>, float64 (n_parents, 1), or by column Σᵣ g[r, c] δᵢ[r, c], (n_parents, n_columns), δᵢ = θᵢ - θ₀.

    Blocks are summed in float32 (float64 where the gradient is), their sums in float64. Without an origin δᵢ is θᵢ. A
    tensor of fewer than two axes is one column.
    """
    precise = torch.promote_types(gradient.dtype, torch.float32)
    by_column = by_column and gradient.ndim > 1
    sums = torch.zeros(len(tensors), gradient.shape[-1] if by_column else 1, dtype=torch.float64)
    for rows in _blocks(gradient):
        g = _rows(gradient, rows, gradient.device, precise)
        start = None if origin is None else _rows(origin, rows, gradient.device, precise)
        for i, tensor in enumerate(tensors):
            delta = _rows(tensor, rows, gradient.device, precise)
            delta = delta if start is None else delta - start
            if by_column:
                sums[i] += torch.einsum("rc,rc->c", g, delta).double().cpu()
            else:
                sums[i] += torch.dot(g.reshape(-1), delta.reshape(-1)).double().cpu()
    return sums


def are_equal(tensors: Sequence[Tensor], origin: Tensor) -> bool:
    """Return whether every tensor is the origin, as float32."""
    for rows in _blocks(origin):
        start = _rows(origin, rows, origin.device, torch.float32)
        if not all(_rows(tensor, rows, origin.device, torch.float32).equal(start) for tensor in tensors):
            return False
    return True


def weigh_columns(out: Tensor, tensors: Sequence[Tensor], origin: Tensor | None, coefficients: Tensor) -> None:
    """Write θ₀ + Σ δᵢ diag(cᵢ) to `out`, float32 arithmetic rounded once; without an origin Σ θᵢ diag(cᵢ).

    The coefficients are (n_parents, n_columns); (n_parents, 1) for a tensor of fewer than two axes.
    """
    shares = coefficients.to(torch.float32)
    written = out.view(-1, out.shape[-1]) if out.ndim > 1 else out.view(1, -1)
    for rows in _blocks(out):
        start = None if origin is None else _rows(origin, rows, torch.device("cpu"), torch.float32)
        total = torch.zeros_like(written[rows], dtype=torch.float32, device="cpu") if start is None else start.clone()
        for tensor, share in zip(tensors, shares, strict=True):
            value = _rows(tensor, rows, torch.device("cpu"), torch.float32)
            total += (value if start is None else value - start) * share
        written[rows] = total.to(out.dtype)


def _blocks(tensor: Tensor) -> Iterator[slice]:
    n_columns = tensor.shape[-1] if tensor.ndim > 1 else tensor.numel()
    n_rows = tensor.numel() // n_columns if n_columns else 0
    step = max(1, (_BLOCK if tensor.device.type == "cpu" else _BLOCK_ELSEWHERE) // max(n_columns, 1))
    yield from (slice(first, first + step) for first in range(0, n_rows, step))


def _rows(tensor: Tensor, rows: slice, device: torch.device, dtype: torch.dtype) -> Tensor:
    flat = tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim > 1 else tensor.reshape(1, -1)
    return flat[rows].to(device=device, dtype=dtype)
