"""The error of this package."""

from __future__ import annotations

from evomerge.errors import EvomergeError


class OptimiserError(EvomergeError, ValueError):
    """A wrong argument or option of an optimiser, or an outcome it never asked for."""

    exit_code = 2
