"""Which dtype a machine computes a model fastest in: measured on CPUs; on accelerators the one that it is stored in."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import torch

_ROWS = 256
_SECONDS = 2.0
# Products are not all of a forward pass, and half precision blurs scores: a small gain is not worth it.
_WORTHWHILE = 1.5
_SMALL = 2**18  # elements; below, calls cost more than products do


def fastest_dtype(shapes: Sequence[tuple[int, ...]], half: torch.dtype, *, seconds: float = _SECONDS) -> torch.dtype:
    """Return `half` where this machine's CPU multiplies at least 1.5 times faster in it than in float32, else float32.

    Of all weights' shapes, the commonest matrix is multiplied with random activations for some seconds.
    """
    counts = Counter(shape for shape in shapes if len(shape) == 2)
    # Embeddings and heads are the widest and run for few tokens only: the layers decide.
    typical, _ = max(counts.items(), key=lambda item: (item[1], item[0]), default=((0, 0), 0))
    if typical[0] * typical[1] < _SMALL:
        return torch.float32
    best = {dtype: _seconds_per_product(typical, dtype, seconds / 2) for dtype in (torch.float32, half)}
    return half if best[half] * _WORTHWHILE <= best[torch.float32] else torch.float32


def _seconds_per_product(shape: tuple[int, ...], dtype: torch.dtype, seconds: float) -> float:
    weight, rows = torch.randn(shape).to(dtype), torch.randn(_ROWS, shape[1]).to(dtype)
    best = float("inf")
    end = time.perf_counter() + seconds
    with torch.inference_mode():
        while best == float("inf") or time.perf_counter() < end:
            start = time.perf_counter()
            torch.nn.functional.linear(rows, weight)
            best = min(best, time.perf_counter() - start)
    return best


def dtype_on(device: torch.device, stored: torch.dtype) -> torch.dtype:
    """Return what a model that is stored in a dtype is loaded in on a device of this machine; see `accelerated`."""
    if device.type == "cpu":
        return torch.float32
    own = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    return accelerated(stored, bfloat16=own)


def accelerated(stored: torch.dtype, *, bfloat16: bool) -> torch.dtype:
    """Return what an accelerator computes in: what is stored, but float32 for bfloat16 where it has no units for it."""
    return torch.float32 if stored == torch.bfloat16 and not bfloat16 else stored
