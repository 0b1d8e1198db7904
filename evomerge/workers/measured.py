"""What a candidate takes: seconds of merging and of scoring, and the most memory of a GPU."""

from __future__ import annotations

import functools
import socket
import sys
import time
from typing import Any

from evomerge.candidate import Work


class Measured:
    """Begins to measure a candidate when it is made."""

    def __init__(self) -> None:
        self._began = self._merged = time.perf_counter()
        if (cuda := _cuda()) is not None:
            cuda.reset_peak_memory_stats()

    def merged(self) -> None:
        """Note that its weights are there."""
        if (cuda := _cuda()) is not None:
            cuda.synchronize()  # what a GPU has begun is not done yet
        self._merged = time.perf_counter()

    def scored(self, model: Any) -> Work:
        """Return what it took, now that it is scored."""
        seconds = time.perf_counter() - self._merged
        parameters = getattr(model, "parameters", None)
        first: Any = None if parameters is None else next(iter(parameters()), None)
        cuda = _cuda() if first is not None and first.device.type == "cuda" else None
        peak = None if cuda is None else int(cuda.max_memory_allocated(first.device))
        device = "cpu" if cuda is None else cuda.get_device_name(first.device)
        return Work(socket.gethostname(), device, self._merged - self._began, seconds, peak)


@functools.cache
def _cuda() -> Any:
    """Return torch's CUDA, where torch is loaded and there is a GPU: nobody loads it to measure."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None
