"""What a piece of work takes: time, time inside a model's forward pass, tokens run, and memory at its peak."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

T = TypeVar("T")


@dataclass(frozen=True)
class Run:
    """What some work took."""

    seconds: float  # in all
    forward_seconds: float  # inside the model's forward pass
    tokens: int  # that went through it, padding included
    peak_mib: float | None  # memory above what was held before; None where the machine does not tell


def watched(model: nn.Module, work: Callable[[], T]) -> tuple[T, Run]:
    """Do some work with a model and watch it."""
    device = next(model.parameters()).device
    forwards: list[tuple[float, float, int]] = []
    begun: list[float] = []

    def begin(_: nn.Module, __: tuple[Any, ...], ___: dict[str, Any]) -> None:
        begun.append(_now(device))

    def end(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], __: object) -> None:
        ids = inputs[0] if inputs else named["input_ids"]
        forwards.append((begun.pop(), _now(device), ids.numel()))

    before = _start_watching_memory(device)
    with (
        model.register_forward_pre_hook(begin, with_kwargs=True),
        model.register_forward_hook(end, with_kwargs=True),
    ):
        start = _now(device)
        result = work()
        seconds = _now(device) - start
    peak = None if before is None else (_peak_bytes(device) - before) / 2**20
    return result, Run(seconds, sum(e - b for b, e, _ in forwards), sum(n for _, _, n in forwards), peak)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _start_watching_memory(device: torch.device) -> int | None:
    """Return the bytes held now, without what the allocator keeps of earlier work; the peak begins anew."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return _status("VmRSS")
    except OSError:
        return None


def _peak_bytes(device: torch.device) -> int:
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _status("VmHWM")


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (line,) = (line for line in lines if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024
