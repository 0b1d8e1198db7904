"""How much a forward pass takes, measured once, and what fits in a budget: passes, and slots of completions."""

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
_GPU_READS = 2048  # more rows make the product with the vocabulary no faster
_CPU_SLOTS = 64  # more rows do not make a CPU's products any faster
_GPU_SLOTS = 256
_LOGITS_COPIES = 3  # the logits, their float32 copy, and what is computed from them
_GPU_RESERVE = 2**30  # for what other libraries and other streams allocate; beside it a twentieth of the device


@dataclass(frozen=True)
class Sizes:
    """What one forward pass may hold."""

    tokens: int  # most tokens
    reads: int  # most positions with logits
    # most bytes of keys and values that completions keep between passes, as long as more than one is live
    kept: int = DEFAULT_BUDGET // 4
    most_slots: int = _CPU_SLOTS  # most completions in progress at once

    def halved(self) -> Sizes:
        """Return half of everything, at least 1."""
        tokens, reads, kept = (max(1, size // 2) for size in (self.tokens, self.reads, self.kept))
        return Sizes(tokens, reads, kept, self.most_slots)


@dataclass(frozen=True)
class Completions:
    """What the keys and values of prompts and their completions need, in tokens."""

    n_prompts: int
    most_shared: int  # of a prompt's tokens that others share
    most_own: int  # of a prompt's tokens that no other shares
    capacity: int  # of a slot: what is a completion's own, its longest answer included


def planned_sizes(budget: int, *, per_token: float, n_vocabulary: int, on_gpu: bool) -> Sizes:
    """Return the sizes that are fastest within a budget of bytes, of which layers take `per_token` for each token.

    On a CPU half is for what layers compute, a quarter for logits, a quarter for kept keys and values. On a GPU passes
    are fast long before that, and completions by how many there are at once: there keys and values have what a quarter
    for layers and an eighth for logits leave of it, which is more where the largest pass takes less.
    """
    per_read = 4 * _LOGITS_COPIES * n_vocabulary
    if not on_gpu:
        return Sizes(
            tokens=max(1, min(_CPU_CHUNK, int(budget / 2 / per_token))),
            reads=max(1, budget // 4 // per_read),
            kept=budget // 4,
        )
    tokens = max(1, min(_GPU_CHUNK, int(budget / 4 / per_token)))
    reads = max(1, min(_GPU_READS, budget // 8 // per_read))
    left = budget - int(tokens * per_token) - reads * per_read
    return Sizes(tokens, reads, kept=max(left, budget // 4), most_slots=_GPU_SLOTS)


def n_slots(sizes: Sizes, needs: Completions, *, bytes_per_token: int) -> int:
    """Return how many completions may be in progress at once, at least 1.

    Beside the slots there is room for what one prompt shares, and for the piece of the prompts that the next pass runs:
    a whole pass, or no more than what is the new completions' own.
    """
    room = sizes.kept // max(1, bytes_per_token) - needs.most_shared  # tokens
    beside_a_pass = (room - sizes.tokens) // needs.capacity
    beside_their_own = room // (needs.capacity + needs.most_own)
    fitting = max(beside_a_pass, beside_their_own)
    return max(1, min(fitting, sizes.most_slots, sizes.reads, sizes.tokens // 2, needs.n_prompts))


def gpu_budget(*, free: int, total: int) -> int:
    """Return the bytes that scoring may take of those that are free on a GPU of `total` bytes, at least 256 MiB."""
    return max(2**28, free - _GPU_RESERVE - total // 20)


def device_budget(device: torch.device) -> int:
    """Return the bytes that scoring may take on a device whose models are there already."""
    if device.type != "cuda":
        return DEFAULT_BUDGET
    free, total = room_on(device)
    return gpu_budget(free=free, total=total)


def room_on(device: torch.device) -> tuple[int, int]:
    """Return the bytes of a GPU that this process may still take, and those that it may have in all."""
    free, total = torch.cuda.mem_get_info(device)
    own = torch.cuda.memory_allocated(device)
    cached = torch.cuda.memory_reserved(device) - own  # ours, and given back on demand
    share = torch.cuda.get_per_process_memory_fraction(device)
    return room_in_share(share, free=free + cached, total=total, own=own)


def room_in_share(share: float, *, free: int, total: int, own: int) -> tuple[int, int]:
    """Return what `room_on` does for a process that may have a share of a GPU, in (0, 1], and has `own` bytes of it.

    >>> from fitness.engine.model.memory import room_in_share
    >>> room_in_share(0.5, free=70, total=80, own=10)
    (30, 40)
    """
    most = int(share * total)
    return max(0, min(free, most - own)), most


def fitting_sizes(model: nn.Module, *, n_vocabulary: int, budget: int | None) -> Sizes:
    """Return the sizes that are fastest within a budget of bytes above the model's own; None = what the device has.

    Linear in the number of tokens: one pass is measured.
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
    given = device_budget(device) if budget is None else budget
    return planned_sizes(given, per_token=per_token, n_vocabulary=n_vocabulary, on_gpu=device.type != "cpu")


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
