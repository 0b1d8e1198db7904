"""What candidates take: seconds of merging and of scoring, tokens, and the most memory of a GPU."""

from __future__ import annotations

import functools
import socket
import sys
import time
from typing import Any

from evomerge.candidate import Work
from fitness.engine.token_count import TokenTally


class Measured:
    """Begins to measure a candidate, or several that are scored together, when it is made.

    Args:
        tally: of the engine that scores; None: tokens are not counted.
    """

    def __init__(self, tally: TokenTally | None = None) -> None:
        self._tally, self._before = tally, None if tally is None else tally.count
        self._began = self._merged = time.perf_counter()
        if (cuda := _cuda()) is not None:
            cuda.reset_peak_memory_stats()

    def merged(self) -> None:
        """Note that its weights are there."""
        if (cuda := _cuda()) is not None:
            cuda.synchronize()  # what a GPU has begun is not done yet
        self._merged = time.perf_counter()

    def scored(self, model: Any, together: int = 1) -> Work:
        """Return what each of so many took, now that all are scored."""
        seconds = time.perf_counter() - self._merged
        parameters = getattr(model, "parameters", None)
        first: Any = None if parameters is None else next(iter(parameters()), None)
        cuda = _cuda() if first is not None and first.device.type == "cuda" else None
        peak = None if cuda is None else int(cuda.max_memory_allocated(first.device))
        device = "cpu" if cuda is None else cuda.get_device_name(first.device)
        prompt = generated = None
        if self._tally is not None and self._before is not None:
            tokens = self._tally.count - self._before
            prompt, generated = round(tokens.prompt / together), round(tokens.generated / together)
        merging = (self._merged - self._began) / together
        return Work(socket.gethostname(), device, merging, seconds / together, peak, prompt, generated, together)


@functools.cache
def _cuda() -> Any:
    """Return torch's CUDA, where torch is loaded and there is a GPU: nobody loads it to measure."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None
