"""The error of this package."""

from __future__ import annotations


class OptimiserError(ValueError):
    """A wrong argument or option of an optimiser, or an outcome it never asked for."""
