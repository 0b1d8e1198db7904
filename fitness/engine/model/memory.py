"""How much a forward pass takes, measured once, and what fits in a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fitness.engine.language_model import DEFAULT_BUDGET
from fitness.engine.model.forward import device_of, logits_at, without_cache
from fitness.engine.model.text_model import is_encoder_decoder

_ROWS, _LENGTH = 16, 16  # of the measured pass; no model takes fewer tokens at once
_SAMPLE = _ROWS * _LENGTH
_CPU_CHUNK = 512  # more tokens no longer fit in a CPU's cache between two layers, and cost more each
_GPU_CHUNK = 8192
_LOGITS_COPIES = 3  # the logits, their float32 copy, and what is computed from them


@dataclass(frozen=True)
class Sizes:
    """What one forward pass may hold."""

    tokens: int  # most tokens
    reads: int  # most positions with logits
    # most bytes of keys and values that completions keep between passes, as long as more than one is live
    kept: int = DEFAULT_BUDGET // 4

    def halved(self) -> Sizes:
        """Return half of everything, at least 1."""
        return Sizes(*(max(1, size // 2) for size in (self.tokens, self.reads, self.kept)))


def fitting_sizes(model: nn.Module, *, n_vocabulary: int, budget: int) -> Sizes:
    """Return the sizes that are fastest within a budget of bytes above the model's own.

    Half of the budget is for what layers compute, a quarter for logits, the rest for kept keys and values. Linear in
    the number of tokens: one pass is measured.
    """
    device = device_of(model)
    ids = torch.zeros((_ROWS, _LENGTH), dtype=torch.long, device=device)
    position = torch.zeros(1, dtype=torch.long, device=device)

    written: dict[str, Any] = {"decoder_input_ids": ids} if is_encoder_decoder(model) else {}

    def run() -> None:
        with torch.inference_mode():
            logits_at(model, ids, position, **written, **without_cache(model))

    run()  # what is allocated once for ever is not the pass's
    per_token = max(_peak_bytes(run, device), _least_bytes(model)) / _SAMPLE
    chunk = _CPU_CHUNK if device.type == "cpu" else _GPU_CHUNK
    return Sizes(
        tokens=max(1, min(chunk, int(budget / 2 / per_token))),
        reads=max(1, budget // 4 // (4 * _LOGITS_COPIES * n_vocabulary)),
        kept=budget // 4,
    )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Say whether an error means that memory ran out; the CPU's allocator raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def free_memory() -> None:
    """Give back what torch keeps for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _least_bytes(model: nn.Module) -> int:
    """Return what a pass of `_SAMPLE` tokens cannot do without: one layer's widest activations, three times."""
    n_vocabulary = {module.num_embeddings for module in model.modules() if isinstance(module, nn.Embedding)}
    widths = [p.shape[0] for p in model.parameters() if p.ndim == 2 and p.shape[0] not in n_vocabulary]
    return 3 * 4 * _SAMPLE * max(widths, default=1)


def _peak_bytes(run: Callable[[], None], device: torch.device) -> int:
    """Return how much memory a function takes at its peak; 0 where the machine does not tell."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _status("VmRSS")
        run()
        return _status("VmHWM") - before
    except OSError:
        run()
        return 0


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")
