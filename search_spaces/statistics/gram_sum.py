"""Sums of products x x^T, in half the memory of a square of float64, and exact as float64 is."""

from __future__ import annotations

import torch
from torch import Tensor

_WIDTH = 512  # columns at a time
_ROWS = 1024  # rows whose products are summed in float32


class GramSum:
    """Σ c x x^T (n, n) over rows x with counts c.

    The sum is symmetric, so only what lies on and below the diagonal is computed and held, in blocks of columns. The
    products of 1024 rows are summed in float32, those sums in float64.
    """

    def __init__(self, n: int, device: torch.device) -> None:
        """Begin with nothing; sums lie where the inputs do, on the CPU where that device knows no float64."""
        self.n = n
        self._home = torch.device("cpu") if device.type == "mps" else device
        self._blocks: list[Tensor] = []  # (n - j, width) of each j, float64; none before the first rows
        self.total = 0.0  # Σ c

    def add(self, rows: Tensor, counts: Tensor) -> None:
        """Add rows (R, n) that count as often as counts (R,) say."""
        self.total += float(counts.sum())
        if bool((counts == 0).any()):
            rows, counts = rows[counts != 0], counts[counts != 0]
        for part, weights in zip(torch.split(rows, _ROWS), torch.split(counts, _ROWS), strict=True):
            x = part.detach().float()
            weighted = x * weights.to(x.dtype)[:, None]
            products = ((weighted[:, j:].T @ x[:, j : j + _WIDTH]).to(self._home) for j in _starts(self.n))
            if not self._blocks:
                self._blocks = [product.double() for product in products]
                continue
            for block, product in zip(self._blocks, products, strict=True):
                block.add_(product)

    def mean(self, total: float) -> Tensor:
        """Return the sum divided by a number of tokens, (n, n) float32 on the CPU; zeros where there were none."""
        whole = torch.empty(self.n, self.n) if self._blocks else torch.zeros(self.n, self.n)
        for j, block in zip(_starts(self.n), self._blocks, strict=False):
            end = j + block.shape[1]
            torch.div(block.cpu(), total or 1.0, out=whole[j:, j:end])
            whole[j:end, end:] = whole[end:, j:end].T
            square = whole[j:end, j:end].tril()  # both halves of it were summed; their last bits may differ
            whole[j:end, j:end] = square + square.tril(-1).T
        return whole


def gram_bytes(n: int) -> int:
    """Return what a sum takes in memory while it is collected; about the 4·n² bytes that it takes on disk."""
    return sum(8 * (n - j) * min(_WIDTH, n - j) for j in _starts(n))


def _starts(n: int) -> range:
    return range(0, n, _WIDTH)
